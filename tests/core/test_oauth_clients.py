"""Which client Burrow is to an issuer, and how that client authenticates (RFC 7591, RFC 6749 section 2.3.1, MCP)."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
from dataclasses import replace
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import pytest

from app.core.auth.cause import ASKED
from app.core.auth.credential import Credential
from app.core.auth.key import CredentialKey
from app.core.auth.oauth.authorization_server import authenticated
from app.core.auth.profile import ClientIdentity, CredentialProfile
from app.core.auth.registration import AuthMethod, ClientRegistration
from app.core.auth.status import CredentialState
from app.core.auth.vault.base import StoreKind, VaultFailure, VaultState
from app.core.auth.vault.vaults import UNENCRYPTED_FOLDER
from app.core.errors import Rejected, SignInNeeded, VaultTrouble
from tests.core._authorization_server import REDIRECT_URI, ScriptedIssuer, servers
from tests.core._data_folder import DataFolder, opened
from tests.core.scripted import Reply
from tests.faults.authority import agree, sign_in_at

RESOURCE = "https://mcp.example/mcp"
DOCUMENT = "https://burrow.example/client-metadata.json"
SECRET = "s3cret:with%percent and+plus/ümlaut"
BASIC, POST = "client_secret_basic", "client_secret_post"


def profile_for(issuer: ScriptedIssuer, **special: Any) -> CredentialProfile:
    key = CredentialKey(issuer.issuer, RESOURCE)
    return CredentialProfile(key, "Example", "https://mcp.example", issuer.issuer, resource=RESOURCE, **special)


async def refreshed(credential: Credential) -> None:
    assert credential.grant is not None
    await credential.refresh(credential.grant.tokens, ASKED)


async def begun_with(credential: Credential) -> str:
    """The client that the consent page would be asked with."""
    sign_in = await credential.begin_sign_in(open_browser=False)
    sign_in.cancel()
    return sign_in.url.partition("client_id=")[2].partition("&")[0]


def ways(issuer: ScriptedIssuer) -> list[str]:
    """How the client authenticated so far, request by request."""
    return [one.ways[0] for one in issuer.presented]


class BrokenVault:
    """A vault that does nothing."""

    kind = StoreKind.KEYRING

    async def read(self, name: str) -> str | None:
        raise VaultFailure(VaultState.LOCKED, "The keyring is locked.")

    async def write(self, name: str, secret: str) -> None:
        await self.read(name)

    async def reserve(self, name: str, present: str) -> None:
        await self.read(name)

    async def delete(self, name: str) -> None:
        await self.read(name)


# Which client.


async def test_a_client_of_the_profile_goes_before_every_other(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        await sign_in_at(data.credential(profile_for(issuer)))
        issuer.metadata["client_id_metadata_document_supported"] = True
        issuer.knows("mine")
        profile = profile_for(issuer, client=ClientIdentity("mine"), client_metadata_url=DOCUMENT)
        assert await begun_with(data.credential(profile)) == "mine"
        assert len(issuer.registered) == 1


async def test_a_client_that_a_person_entered_goes_before_the_rest_also_after_a_restart(tmp_path: Path) -> None:
    async with servers(1) as origins:
        issuer = ScriptedIssuer(next(origins))
        issuer.metadata["client_id_metadata_document_supported"] = True
        issuer.knows("mine", SECRET, BASIC)
        profile = profile_for(issuer, client_metadata_url=DOCUMENT)
        async with opened(tmp_path) as data:
            await data.credential(profile).registrar.use_client(ClientIdentity("mine", SECRET))
        async with opened(tmp_path) as data:
            credential = data.credential(profile)
            await sign_in_at(credential)
            assert credential.grant is not None
            assert credential.grant.client_id == "mine"
        assert (issuer.registered, ways(issuer)) == ([], [BASIC])
        assert issuer.presented[0].secret == SECRET


async def test_a_client_that_a_person_entered_in_another_process_is_seen(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as window, opened(tmp_path) as command_line:
        issuer = ScriptedIssuer(next(origins))
        issuer.knows("mine", SECRET, POST)
        profile = profile_for(issuer)
        credential = window.credential(profile)
        assert await begun_with(credential) == "client-1"
        there = command_line.credential(profile)
        await there.registrar.use_client(ClientIdentity("mine", SECRET))
        await sign_in_at(there)
        await sign_in_at(credential)
        assert len(issuer.registered) == 1
        # Also how the server takes its secret.
        assert ways(issuer) == [BASIC, POST, POST]


@pytest.mark.parametrize(("advertised", "url"), [(True, DOCUMENT), (False, DOCUMENT), (True, None)])
async def test_a_metadata_document_is_the_client_where_both_sides_have_that(
    tmp_path: Path, advertised: bool, url: str | None
) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        issuer.metadata["client_id_metadata_document_supported"] = advertised
        issuer.knows(DOCUMENT)
        credential = data.credential(profile_for(issuer, client_metadata_url=url))
        await sign_in_at(credential)
        await refreshed(credential)
        by_document = advertised and url is not None
        assert {one.client_id for one in issuer.presented} == {DOCUMENT if by_document else "client-1"}
        assert ways(issuer) == ["none", "none"]
        assert len(issuer.registered) == (not by_document)


async def test_a_document_that_the_server_does_not_take_after_all_is_replaced_by_a_registration(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        issuer.metadata["client_id_metadata_document_supported"] = True
        # The authorization endpoint refuses it: Burrow asks there before it opens the browser.
        credential = data.credential(profile_for(issuer, client_metadata_url=DOCUMENT))
        await sign_in_at(credential)
        assert credential.grant is not None
        assert credential.grant.client_id == "client-1"


async def test_burrow_registers_itself_once(tmp_path: Path) -> None:
    async with servers(1) as origins:
        issuer = ScriptedIssuer(next(origins))
        for _ in range(2):
            async with opened(tmp_path) as data:
                await sign_in_at(data.credential(profile_for(issuer)))
        assert len(issuer.registered) == 1
        with_port, uri = issuer.registered[0]["redirect_uris"]
        assert uri.startswith(f"{REDIRECT_URI}/")
        assert urlsplit(with_port).path == urlsplit(uri).path


async def test_a_server_that_compares_ports_gets_the_registered_one_at_every_sign_in(tmp_path: Path) -> None:
    async with servers(1) as origins:
        issuer = ScriptedIssuer(next(origins), compares_ports=True)
        for _ in range(2):
            async with opened(tmp_path) as data:
                await sign_in_at(data.credential(profile_for(issuer)))
        assert len(issuer.registered) == 1
        assert len({asked["redirect_uri"] for asked in issuer.asked}) == 1


async def test_where_another_program_listens_on_the_registered_port_burrow_registers_anew(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins), compares_ports=True)
        credential = data.credential(profile_for(issuer))
        await sign_in_at(credential)
        port = urlsplit(issuer.registered[0]["redirect_uris"][0]).port
        assert port is not None
        with socket.create_server(("127.0.0.1", port)):
            await sign_in_at(credential)
        assert len(issuer.registered) == 2
        assert credential.grant is not None
        assert credential.grant.client_id == "client-2"


async def test_where_nobody_can_register_a_client_id_is_asked_for(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        del issuer.metadata["registration_endpoint"]
        credential = data.credential(profile_for(issuer, registration_advice="Ask Ana."))
        with pytest.raises(Rejected) as caught:
            await credential.begin_sign_in(open_browser=False)
        assert (caught.value.facts.attr, caught.value.advice) == ("client_id", "Ask Ana.")
        assert issuer.asked == []


async def test_a_registration_with_another_issuer_is_never_used(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins), "/tenant", register_answer={"client_secret": SECRET})
        credential = data.credential(profile_for(issuer))
        assert await begun_with(credential) == "client-1"
        assert await begun_with(credential) == "client-1"
        # The same address in another spelling is another issuer to whoever compares as RFC 8414 asks.
        issuer.metadata["issuer"] = issuer.issuer.replace("tenant", "%74enant")
        assert await begun_with(credential) == "client-2"


async def test_a_client_that_a_person_entered_is_that_of_the_issuer_however_it_is_spelled(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        issuer.metadata["issuer"] = f"{issuer.issuer}/"
        issuer.knows("mine", SECRET, BASIC)
        credential = data.credential(profile_for(issuer))
        # Before the metadata was ever seen.
        await credential.registrar.use_client(ClientIdentity("mine", SECRET))
        await sign_in_at(credential)
        assert credential.grant is not None
        assert (credential.grant.client_id, credential.grant.issuer) == ("mine", f"{issuer.issuer}/")
        await refreshed(credential)
        assert issuer.registered == []


async def test_a_client_that_a_person_entered_for_another_issuer_is_neither_used_nor_replaced(tmp_path: Path) -> None:
    async with servers(2) as origins, opened(tmp_path) as data:
        one, other = ScriptedIssuer(next(origins)), ScriptedIssuer(next(origins))
        profile = profile_for(one)
        await data.credential(profile).registrar.use_client(ClientIdentity("mine"))
        credential = data.credential(replace(profile, issuer=other.issuer))
        with pytest.raises(Rejected, match="was given for") as caught:
            await credential.begin_sign_in(open_browser=False)
        assert caught.value.facts.attr == "client_id"
        assert one.issuer in caught.value.cause
        assert other.issuer in caught.value.cause
        assert (other.registered, other.asked) == ([], [])


@pytest.mark.parametrize("vault", ["broken", "empty"])
async def test_a_client_whose_secret_cannot_be_read_is_not_replaced_without_a_word(tmp_path: Path, vault: str) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        credential = data.credential(profile_for(issuer))
        await credential.registrar.use_client(ClientIdentity("mine", SECRET))
        store = credential._store
        if vault == "broken":
            store._vault = BrokenVault()
        else:
            await store.vault.delete(store.client_name)
        with pytest.raises(VaultTrouble if vault == "broken" else Rejected) as caught:
            await credential.begin_sign_in(open_browser=False)
        assert caught.value.facts.attr == (None if vault == "broken" else "client_id")
        assert (issuer.registered, issuer.asked) == ([], [])


async def test_a_client_whose_secret_cannot_be_stored_is_not_used(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        credential = data.credential(profile_for(issuer))
        await credential.registrar.use_client(ClientIdentity("former"))
        credential._store._vault = BrokenVault()
        with pytest.raises(VaultTrouble):
            await credential.registrar.use_client(ClientIdentity("mine", SECRET))
        assert credential.registrar.is_preregistered("former")


async def test_a_secret_of_a_registration_that_cannot_be_stored_serves_this_sign_in(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path, StoreKind.MEMORY) as data:
        issuer = ScriptedIssuer(next(origins), register_answer={"client_secret": SECRET})
        credential = data.credential(profile_for(issuer))
        credential._store._vault = BrokenVault()
        await sign_in_at(credential)
        await refreshed(credential)
        assert ways(issuer) == [BASIC, BASIC]
        assert await begun_with(credential) == "client-2"


@pytest.mark.parametrize("by", ["profile", "person"])
async def test_a_given_client_that_the_server_does_not_know_is_never_replaced(tmp_path: Path, by: str) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer, mine = ScriptedIssuer(next(origins)), ClientIdentity("mine", SECRET)
        issuer.knows("mine", SECRET, BASIC)
        credential = data.credential(profile_for(issuer, client=mine if by == "profile" else None))
        if by == "person":
            await credential.registrar.use_client(mine)
        await sign_in_at(credential)
        issuer.clients["mine"].secret = "another"
        with pytest.raises(Rejected) as caught:
            await refreshed(credential)
        assert caught.value.facts.attr == "client_id"
        assert credential.status.state is CredentialState.SIGNED_IN
        with pytest.raises(Rejected) as caught:
            await sign_in_at(credential)
        assert caught.value.facts.attr == "client_id"
        assert issuer.registered == []
        # At the first sign-in once, then each time once in each way.
        assert ways(issuer) == [BASIC, BASIC, POST, BASIC, POST]


# How it authenticates.


async def test_a_public_client_names_itself_in_the_body_and_has_no_header(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        credential = data.credential(profile_for(issuer))
        await sign_in_at(credential)
        await refreshed(credential)
        for request in issuer.requests("/token"):
            assert request.form["client_id"] == "client-1"
            assert "authorization" not in request.headers
            assert "client_secret" not in request.form
        issuer.clients.clear()
        with pytest.raises(SignInNeeded, match="no longer knows"):
            await refreshed(credential)
        # There is no other way to be nobody in particular.
        assert ways(issuer) == ["none"] * 3


@pytest.mark.parametrize("named", [None, "", 7, BASIC])
async def test_a_secret_without_a_method_goes_into_the_header_alone(tmp_path: Path, named: object) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins), register_answer={"client_secret": SECRET})
        credential = data.credential(profile_for(issuer))
        if named is not None:
            issuer.register_answer["token_endpoint_auth_method"] = named
        sign_in = await credential.begin_sign_in(open_browser=False)
        issuer.clients["client-1"].methods = frozenset({BASIC})
        finishing = asyncio.create_task(sign_in.finish())
        await agree(sign_in)
        await finishing
        await refreshed(credential)
        assert [(one.ways, one.client_id, one.secret) for one in issuer.presented] == [
            ((BASIC,), "client-1", SECRET)
        ] * 2
        assert not [one for one in issuer.requests("/token") if "client_secret" in one.form]


async def test_a_secret_for_the_body_goes_into_the_body_alone(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        issuer.register_answer = {"client_secret": SECRET, "token_endpoint_auth_method": POST}
        credential = data.credential(profile_for(issuer))
        await sign_in_at(credential)
        await refreshed(credential)
        assert [(one.ways, one.client_id, one.secret) for one in issuer.presented] == [
            ((POST,), "client-1", SECRET)
        ] * 2
        assert not [one for one in issuer.requests("/token") if "authorization" in one.headers]


@pytest.mark.parametrize(
    ("client_id", "secret", "header"),
    [
        ("client", "secret", "client:secret"),
        # The example of RFC 6749 appendix B, its space in the spelling that every decoder understands.
        (" %&+£€", "x", "%20%25%26%2B%C2%A3%E2%82%AC:x"),
        ("https://a.example/c?d", "a:b", "https%3A%2F%2Fa.example%2Fc%3Fd:a%3Ab"),
        ("é:", "ü %41", "%C3%A9%3A:%C3%BC%20%2541"),
    ],
)
def test_the_id_and_the_secret_in_a_header_are_encoded_as_in_a_form(client_id: str, secret: str, header: str) -> None:
    form, headers = authenticated(ClientRegistration(client_id, "", "", secret, AuthMethod.BASIC), {"a": "b"})
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode("ascii") == header
    # Where the client is looked up by the body; that is no second way to authenticate.
    assert form == {"a": "b", "client_id": client_id}


@pytest.mark.parametrize(
    ("offered", "asked", "begins_with"),
    [
        (None, "none", BASIC),
        (["none", BASIC], "none", BASIC),
        ([BASIC, POST], BASIC, BASIC),
        ([POST], POST, POST),
        (["private_key_jwt", POST], POST, POST),
        ("none", "none", BASIC),
    ],
)
async def test_burrow_asks_for_a_way_to_authenticate_that_the_issuer_offers(
    tmp_path: Path, offered: object, asked: str, begins_with: str
) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        issuer.metadata["token_endpoint_auth_methods_supported"] = offered
        await begun_with(data.credential(profile_for(issuer)))
        assert issuer.registered[0]["token_endpoint_auth_method"] == asked
        issuer.knows("mine", SECRET, begins_with)
        profile = replace(profile_for(issuer, client=ClientIdentity("mine", SECRET)), key=CredentialKey("other"))
        await sign_in_at(data.credential(profile))
        assert ways(issuer) == [begins_with]


async def signed_in_with_a_secret(data: DataFolder, issuer: ScriptedIssuer, by: str, takes: str) -> Credential:
    """A sign-in by a client that says nothing of how it authenticates; the server takes its secret in one way only."""
    given = ClientIdentity("mine", SECRET)
    if by == "server":
        issuer.register_answer = {"client_secret": SECRET, "token_endpoint_auth_method": BASIC}
    issuer.knows("mine", SECRET, takes)
    credential = await data.restored(profile_for(issuer, client=given if by == "profile" else None))
    if by == "person":
        await credential.registrar.use_client(given)
    sign_in = await credential.begin_sign_in(open_browser=False)
    for client in issuer.clients.values():
        client.methods = frozenset({takes})
    finishing = asyncio.create_task(sign_in.finish())
    await agree(sign_in)
    await finishing
    return credential


@pytest.mark.parametrize("by", ["server", "profile", "person"])
async def test_the_other_way_is_tried_once_and_the_one_that_worked_is_the_first_one_from_then_on(
    tmp_path: Path, by: str
) -> None:
    async with servers(1) as origins:
        issuer = ScriptedIssuer(next(origins))
        async with opened(tmp_path) as data:
            credential = await signed_in_with_a_secret(data, issuer, by, POST)
            assert ways(issuer) == [BASIC, POST]
            await refreshed(credential)
            profile = credential.profile
        async with opened(tmp_path) as data:
            credential = await data.restored(profile)
            await refreshed(credential)
            await sign_in_at(credential)
            await refreshed(credential)
        assert ways(issuer) == [BASIC, POST, POST, POST, POST, POST]
        assert len(issuer.families) == 2


@pytest.mark.parametrize("by", ["server", "profile", "person"])
async def test_a_way_that_works_no_longer_is_left_at_a_refresh_and_at_the_next_sign_in(tmp_path: Path, by: str) -> None:
    async with servers(1) as origins:
        issuer = ScriptedIssuer(next(origins))
        async with opened(tmp_path) as data:
            credential = await signed_in_with_a_secret(data, issuer, by, BASIC)
            for client in issuer.clients.values():
                client.methods = frozenset({POST})
            await refreshed(credential)
            await refreshed(credential)
            profile = credential.profile
        async with opened(tmp_path) as data:
            await sign_in_at(data.credential(profile))
        assert ways(issuer) == [BASIC, BASIC, POST, POST, POST]


async def test_the_other_way_and_the_left_out_resource_together_cost_three_requests(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins), takes_resource_at_refresh=False)
        credential = await signed_in_with_a_secret(data, issuer, "server", BASIC)
        issuer.clients["client-1"].methods = frozenset({POST})
        await refreshed(credential)
        assert ways(issuer)[1:] == [BASIC, POST, POST]
        assert [form.get("resource") for form in issuer.forms("refresh_token")] == [RESOURCE, RESOURCE, None]


async def test_a_registration_whose_secret_is_refused_in_both_ways_is_made_anew(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        credential = await signed_in_with_a_secret(data, issuer, "server", BASIC)
        issuer.clients["client-1"].secret = "another"
        with pytest.raises(SignInNeeded, match="no longer knows"):
            await refreshed(credential)
        assert ways(issuer)[1:] == [BASIC, POST]
        # Of no use any more, so kept no longer.
        assert await credential._store.vault.read(credential._store.client_name) is None
        await sign_in_at(credential)
        assert credential.grant is not None
        assert credential.grant.client_id == "client-2"


@pytest.mark.parametrize(
    ("expires", "new"),
    [
        (lambda: time() + 30, True),
        (lambda: time() - 1, True),
        (lambda: f"{time() - 1}", True),
        (lambda: time() + 3600, False),
        (lambda: 0, False),
        (lambda: 10**400, False),
        (lambda: "never", False),
    ],
)
async def test_an_expired_secret_is_registered_anew_before_the_browser_opens(
    tmp_path: Path, expires: Any, new: bool
) -> None:
    async with servers(1) as origins:
        issuer = ScriptedIssuer(next(origins))
        issuer.register_answer = {"client_secret": SECRET, "client_secret_expires_at": expires()}
        async with opened(tmp_path) as data:
            await sign_in_at(data.credential(profile_for(issuer)))
        async with opened(tmp_path) as data:
            assert await begun_with(data.credential(profile_for(issuer))) == ("client-2" if new else "client-1")
        # Nobody asked the consent page about the former one.
        assert len(issuer.asked) == (1 if new else 2)


@pytest.mark.parametrize("methods", [["private_key_jwt"], ["client_secret_jwt", "tls_client_auth"], ["self_signed"]])
@pytest.mark.parametrize("by", ["server", "profile", "person", "document"])
async def test_an_issuer_that_takes_no_way_that_burrow_has_is_refused_before_the_browser_opens(
    tmp_path: Path, methods: list[str], by: str
) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer, mine = ScriptedIssuer(next(origins)), ClientIdentity("mine", SECRET)
        issuer.metadata |= {
            "token_endpoint_auth_methods_supported": methods,
            "client_id_metadata_document_supported": True,
        }
        special = {"profile": {"client": mine}, "document": {"client_metadata_url": DOCUMENT}}.get(by, {})
        credential = data.credential(profile_for(issuer, **special))
        if by == "person":
            await credential.registrar.use_client(mine)
        with pytest.raises(Rejected, match=methods[0]) as caught:
            await credential.begin_sign_in(open_browser=False)
        assert caught.value.facts.attr == "client_id"
        assert (issuer.registered, issuer.asked) == ([], [])


@pytest.mark.parametrize(
    "answer",
    [
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"token_endpoint_auth_method": "private_key_jwt", "client_secret": SECRET},
        {"token_endpoint_auth_method": BASIC},
        {"client_id": None},
        {"client_id": 7},
    ],
)
async def test_a_registration_that_cannot_be_used_is_refused_before_the_browser_opens(
    tmp_path: Path, answer: dict[str, Any]
) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins), register_answer=answer)
        credential = data.credential(profile_for(issuer))
        with pytest.raises(Exception, match=r"private_key_jwt|issued none|without naming"):
            await credential.begin_sign_in(open_browser=False)
        assert issuer.asked == []
        assert await credential._store.vault.read(credential._store.client_name) is None


async def test_a_secret_that_a_public_client_was_given_is_not_sent(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        issuer.register_answer = {"client_secret": SECRET, "token_endpoint_auth_method": "none"}
        credential = data.credential(profile_for(issuer))
        sign_in = await credential.begin_sign_in(open_browser=False)
        issuer.clients["client-1"].secret = None
        finishing = asyncio.create_task(sign_in.finish())
        await agree(sign_in)
        await finishing
        assert ways(issuer) == ["none"]


@pytest.mark.parametrize("takes", ["none", BASIC, POST])
async def test_a_client_authenticates_when_it_revokes(tmp_path: Path, takes: str) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        if takes == "none":
            credential = data.credential(profile_for(issuer))
            await sign_in_at(credential)
        else:
            credential = await signed_in_with_a_secret(data, issuer, "server", takes)
        token = issuer.family.refresh_token
        await credential.sign_out()
        [(revoked, presented)] = issuer.revoked
        assert (revoked, presented.ways) == (token, (takes,))
        assert issuer.family.over


# Where a secret is.


async def test_a_secret_moves_with_the_grant_to_another_vault(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        issuer = ScriptedIssuer(next(origins))
        issuer.knows("mine", SECRET, BASIC)
        credential = data.credential(profile_for(issuer))
        await credential.registrar.use_client(ClientIdentity("mine", SECRET))
        await sign_in_at(credential)
        former, name = credential._store.vault, credential._store.client_name
        await credential.choose_store("memory")
        assert await former.read(name) is None
        assert await begun_with(credential) == "mine"
        await credential.choose_store("file")
        assert await former.read(name) == SECRET
        await credential.choose_store("file")
        assert await former.read(name) == SECRET


async def test_a_secret_of_a_former_client_is_kept_no_longer(tmp_path: Path) -> None:
    async with servers(1) as origins, opened(tmp_path) as data:
        credential = data.credential(profile_for(ScriptedIssuer(next(origins))))
        await credential.registrar.use_client(ClientIdentity("mine", SECRET))
        await credential.registrar.use_client(ClientIdentity("public"))
        assert await credential._store.vault.read(credential._store.client_name) is None


def outside_the_vault(folder: Path) -> list[bytes]:
    """The content of every file that is not the vault's."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != UNENCRYPTED_FOLDER]
    return [path.read_bytes() for path in files]


@pytest.mark.parametrize("by", ["server", "profile", "person"])
async def test_a_secret_is_in_the_vault_and_nowhere_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, by: str
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[object] = []
    async with servers(1) as origins:
        issuer = ScriptedIssuer(next(origins))
        async with opened(tmp_path) as data:
            credential = await signed_in_with_a_secret(data, issuer, by, POST)
            credential.happened.subscribe(told.append)
            credential.changed.subscribe(told.append)
            await refreshed(credential)
            registration = await credential.registrar.known(await credential.registrar.metadata())
            assert registration is not None
            assert registration.secret == SECRET
            told += [registration, registration.record(), credential.grant, credential.profile]
            issuer.script = [Reply(400, {"error": "invalid_request", "error_description": SECRET})]
            with pytest.raises(Rejected) as refused:
                await refreshed(credential)
            told += [refused.value, refused.value.cause, refused.value.facts]
            told += await credential.journal.recent(50)
            name, vault = credential._store.client_name, credential._store.vault
            assert await vault.read(name) == (None if by == "profile" else SECRET)
        others = outside_the_vault(tmp_path)
        assert others
        pair = f"{quote_plus('client-1' if by == 'server' else 'mine')}:{quote_plus(SECRET)}"
        shapes = {SECRET, quote(SECRET, safe=""), quote_plus(SECRET), base64.b64encode(pair.encode()).decode()}
        shown = caplog.text + "".join(map(repr, told))
        for shape in shapes:
            assert shape not in shown
            assert not [content for content in others if shape.encode() in content]
