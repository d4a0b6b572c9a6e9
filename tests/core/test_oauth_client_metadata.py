"""`docs/client-metadata.json` says what the code does (OAuth Client ID Metadata Document, draft 02)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.core.auth.key import CredentialKey
from app.core.auth.oauth.registrar import FIXED_PATH
from app.core.auth.profile import CredentialProfile
from app.core.auth.registration import CLIENT_NAME, AuthMethod, ClientRegistration, client_metadata
from tests.core._authorization_server import ScriptedIssuer, servers
from tests.core._data_folder import opened
from tests.faults.authority import sign_in_at

DOCUMENT = Path(__file__).parents[2] / "docs" / "client-metadata.json"


@pytest.fixture
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return found


def test_the_document_is_what_burrow_says_when_it_registers(document: dict[str, Any]) -> None:
    redirect_uri = ClientRegistration("", FIXED_PATH, "").redirect_uri
    assert document == {"client_id": document["client_id"], **client_metadata([redirect_uri], AuthMethod.NONE)}
    assert document["client_name"] == CLIENT_NAME
    assert document["redirect_uris"] == ["http://127.0.0.1/callback"]
    assert document["grant_types"] == ["authorization_code", "refresh_token"]
    assert document["token_endpoint_auth_method"] == "none"


def test_its_client_id_is_the_address_of_a_document_of_its_name(document: dict[str, Any]) -> None:
    parts = urlsplit(document["client_id"])
    assert (parts.scheme, parts.username, parts.query, parts.fragment) == ("https", None, "", "")
    assert parts.path == f"/{DOCUMENT.name}"
    # Nobody owns it: whoever publishes the document puts an address of theirs in its place.
    assert str(parts.hostname).endswith(".example")


async def test_a_sign_in_by_the_document_goes_to_a_redirect_uri_that_it_lists(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        issuer.metadata["client_id_metadata_document_supported"] = True
        issuer.knows(document["client_id"])
        key = CredentialKey(issuer.issuer, "https://mcp.example/mcp")
        profile = CredentialProfile(
            key, "Example", "https://mcp.example", issuer.issuer, client_metadata_url=document["client_id"]
        )
        credential = data.credential(profile)
        sign_in = await credential.begin_sign_in(open_browser=False)
        redirect = urlsplit(parse_qs(urlsplit(sign_in.url).query)["redirect_uri"][0])
        # The port is the system's choice (RFC 8252 section 7.3).
        assert redirect._replace(netloc=str(redirect.hostname)).geturl() in document["redirect_uris"]
        await sign_in_at(credential)
        assert issuer.registered == []


def test_no_profile_names_a_document_by_itself() -> None:
    profile = CredentialProfile(CredentialKey("https://as.example"), "", "https://as.example", "https://as.example")
    assert profile.client_metadata_url is None
