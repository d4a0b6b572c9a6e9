"""Which authorization server a resource uses, and its endpoints: every form, every refusal, and no guess in trouble.

MCP authorization 2025-11-25 and 2026-07-28, RFC 9728, RFC 8414, OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.auth.http.clients import HttpClients
from app.core.auth.key import CredentialKey
from app.core.auth.metadata import ServerMetadata
from app.core.auth.oauth.discovery import (
    ProtectedResource,
    check_server_address,
    covers,
    find_metadata,
    find_protected_resource,
    metadata_urls,
    profile_of,
    read_metadata,
    resource_urls,
)
from app.core.auth.profile import CredentialProfile, IssuerTrust
from app.core.errors import BurrowError, NotFound, ProtocolTrouble, Rejected, ServerTrouble, Throttled
from app.core.urls import origin_of
from tests.core._authorization_server import OAUTH, OPENID, RESOURCE, ScriptedIssuer, ScriptedResource, servers
from tests.core.scripted import Reply

PAGE = Reply(200, "<!doctype html><title>Welcome</title>", {"Content-Type": "text/html"})
NOTHING = [
    Reply(404),
    PAGE,
    Reply(200, [1]),
    Reply(200, b""),
    Reply(302, b"", {"Location": "/login"}),
    Reply(401, {"error": "invalid_token"}),
    Reply(403, PAGE.body),
]
TROUBLE = [
    (Reply(500, {"error": "oops"}), ServerTrouble),
    (Reply(503, PAGE.body), ServerTrouble),
    (Reply(429, b"slow down", {"Retry-After": "7"}), Throttled),
    (Reply(429, {"error": "slow down"}), Throttled),
    (Reply(drop=True), ServerTrouble),
]
UNSAFE = [
    "http://as.example/x",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "//as.example/x",
    "/relative",
    "https://user:word@as.example/x",
    "https://as.example/x y",
    "https://as.example\\@evil.example/x",
    "https://as.example:99999/x",
    "https://[::1",
]


@dataclass
class Found:
    """A resource on one origin, its authorization server on another, and whoever looks."""

    resource: ScriptedResource
    issuer: ScriptedIssuer
    transport: HttpClients

    async def look(self, challenge: str = "", url: str | None = None) -> ProtectedResource:
        return await find_protected_resource(self.transport, url or self.resource.url, challenge)

    async def profile(self) -> CredentialProfile:
        return profile_of(await self.look(), self.resource.url, "Example")

    async def metadata(self) -> ServerMetadata:
        return await find_metadata(self.transport, await self.profile())

    @property
    def asked(self) -> list[str]:
        """What the resource's server was asked, in order."""
        return [request.path for request in self.resource.server.seen]

    @property
    def asked_issuer(self) -> list[str]:
        return [request.path for request in self.issuer.server.seen]


@asynccontextmanager
async def published(path: str = "/tenant", resource_path: str = "/mcp") -> AsyncIterator[Found]:
    transport = HttpClients()
    async with servers(2) as origins:
        issuer = ScriptedIssuer(next(origins), path)
        yield Found(ScriptedResource(next(origins), issuer, resource_path), issuer, transport)
    await transport.close()


# The protected resource.


@pytest.mark.parametrize(
    "header",
    [
        'Bearer resource_metadata="{}"',
        "Bearer resource_metadata={}",
        'bearer RESOURCE_METADATA = "{}"',
        'Basic realm="x", Bearer error="invalid_token", resource_metadata="{}"',
        'Basic realm="a, Bearer resource_metadata=https://evil.example/", Bearer resource_metadata={}',
        'Bearer error="invalid_token", DPoP algs="ES256", resource_metadata="{}"',
        'Digest resource_metadata="https://evil.example/", Bearer resource_metadata="{}"',
        'Bearer resource_metadata="{}", Bearer resource_metadata="https://evil.example/"',
        'Bearer resource_metadata="", DPoP resource_metadata="{}"',
        'MCP resource_metadata="{}"',
        'Bearer resource_metadata="{}", x="never closed',
    ],
)
async def test_the_address_in_a_challenge_is_asked_first_wherever_it_stands(header: str) -> None:
    async with published() as at:
        at.resource.server.views["/here"] = Reply(200, at.resource.metadata)
        found = await at.look(header.format(f"{at.resource.server.origin}/here"))
        assert (found.issuer, found.resource) == (at.issuer.issuer, at.resource.url)
        assert at.asked == ["/here"]


async def test_the_address_in_a_challenge_may_be_on_another_origin() -> None:
    async with published() as at:
        at.issuer.server.views["/of-others"] = Reply(200, at.resource.metadata)
        found = await at.look(f'Bearer resource_metadata="{at.issuer.server.origin}/of-others"')
        assert found.resource == at.resource.url


@pytest.mark.parametrize("nothing", NOTHING)
async def test_without_metadata_there_the_path_is_asked_and_then_the_root(nothing: Reply) -> None:
    async with published() as at:
        root, at.resource.server.views[RESOURCE] = at.resource.metadata, nothing
        at.resource.server.views |= {"/here": nothing, RESOURCE + "/mcp": nothing}
        challenge = f'Bearer resource_metadata="{at.resource.server.origin}/here"'
        assert (await at.look(challenge)).resource is None
        assert at.asked == ["/here", f"{RESOURCE}/mcp", RESOURCE]
        at.resource.server.views[RESOURCE] = Reply(200, root)
        assert (await at.look(challenge)).resource == at.resource.url


async def test_no_address_is_asked_twice() -> None:
    async with published("", "/") as at:
        del at.resource.server.views[f"{RESOURCE}/"]
        await at.look(f'Bearer resource_metadata="{at.resource.server.origin}{RESOURCE}"')
        assert at.asked == [RESOURCE]


async def test_a_query_of_the_resource_belongs_to_the_address_of_its_metadata() -> None:
    async with published() as at:
        await at.look(url=f"{at.resource.url}?project=1")
        assert at.resource.server.seen[0].query == {"project": ["1"]}
        assert at.asked == [f"{RESOURCE}/mcp"]


@pytest.mark.parametrize(("answer", "kind"), TROUBLE)
@pytest.mark.parametrize("where", ["/here", f"{RESOURCE}/mcp", RESOURCE])
async def test_trouble_while_looking_is_trouble_and_never_the_legacy_way(
    where: str, answer: Reply, kind: type[BurrowError]
) -> None:
    async with published() as at:
        del at.resource.server.views[f"{RESOURCE}/mcp"]
        at.resource.server.views[where] = answer
        with pytest.raises(kind) as caught:
            await at.look(f'Bearer resource_metadata="{at.resource.server.origin}/here"')
        assert caught.value.facts.origin == at.resource.server.origin
        assert at.asked[-1] == where


async def test_a_server_that_cannot_be_reached_while_looking_is_no_legacy_server() -> None:
    async with published() as at:
        await at.resource.server.go_away()
        with pytest.raises(BurrowError, match="cannot be reached"):
            await at.look()
        await at.resource.server.come_back()


async def test_a_server_without_metadata_is_its_own_authorization_server_and_no_resource_is_named() -> None:
    async with published() as at:
        at.resource.server.views.clear()
        url = f"{at.resource.url}?q=1#x"
        found = await at.look('Bearer scope="files:read files:write"', url)
        assert found == ProtectedResource(at.resource.server.origin, None, ("files:read", "files:write"))
        profile = profile_of(found, url, "Example", "work")
        assert profile.key == CredentialKey(at.resource.server.origin, f"{at.resource.url}?q=1", "work")
        assert (profile.resource, profile.trust) == (None, IssuerTrust.METADATA)


@pytest.mark.parametrize("address", UNSAFE)
async def test_an_unsafe_address_in_a_challenge_is_refused_and_nothing_is_asked(address: str) -> None:
    async with published() as at:
        quoted = address.replace("\\", "\\\\")
        with pytest.raises(ProtocolTrouble, match=r"metadata is at .*not safe to use") as caught:
            await at.look(f'Bearer resource_metadata="{quoted}"')
        assert at.resource.server.origin in caught.value.cause
        assert at.asked == []


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ,,,=,=",
        'Bearer error_description="resource_metadata=https://evil.example/x"',
        'Bearer error_description="a \\" resource_metadata=https://evil.example/x"',
        "resource_metadata=https://evil.example/x",
        'Bearer x_resource_metadata="https://evil.example/x"',
        'Bearer "' + "\\" * 9999,
        "Bearer " + "a=" * 9999,
        "Bearer realm=\x00\x7f\xff",
    ],
)
async def test_a_header_that_names_no_address_is_as_none(header: str) -> None:
    async with published() as at:
        assert (await at.look(header)).resource == at.resource.url
        assert at.asked == [f"{RESOURCE}/mcp"]


@pytest.mark.parametrize("host", ["xn--", "a..b", "a" * 70, "*", "xn--a.example"])
async def test_a_host_that_no_resolver_takes_is_an_error_of_ours(host: str) -> None:
    async with published() as at:
        with pytest.raises(BurrowError):
            await find_protected_resource(at.transport, f"https://{host}/mcp")


@pytest.mark.parametrize(
    "path", ["/mcp/", "/MCP", "/mc", "/mcp/deeper", "/mcpx", "/mcp?tenant=1", "/mcp#fragment", "/m%2Fcp"]
)
async def test_the_metadata_of_another_resource_is_refused_and_both_are_shown(path: str) -> None:
    async with published() as at:
        at.resource.metadata["resource"] = other = at.resource.server.origin + path
        with pytest.raises(ProtocolTrouble) as caught:
            await at.look()
        where = f"{at.resource.server.origin}{RESOURCE}/mcp"
        assert caught.value.cause == f"{where} describes the resource “{other}”, but the server is “{at.resource.url}”."


@pytest.mark.parametrize(
    "resource", [None, 1, "", "mcp", "urn:x", "https://mcp.example/mcp", ["https://mcp.example"], "{origin}/m\tcp"]
)
async def test_metadata_that_names_no_resource_or_one_on_another_origin_is_refused(resource: object) -> None:
    async with published() as at:
        origin = at.resource.server.origin
        at.resource.metadata["resource"] = resource.format(origin=origin) if isinstance(resource, str) else resource
        with pytest.raises(ProtocolTrouble, match="describes the resource"):
            await at.look()


async def test_a_resource_with_a_user_name_is_refused() -> None:
    async with published() as at:
        at.resource.metadata["resource"] = at.resource.url.replace("//", "//user@")
        with pytest.raises(ProtocolTrouble, match="describes the resource"):
            await at.look()


async def test_a_resource_is_named_exactly_as_its_metadata_spells_it_and_keyed_by_what_that_means() -> None:
    async with published("") as at:
        spelled = at.resource.url.replace("http", "HTTP").replace("mcp", "%6dcp")
        at.resource.metadata |= {"resource": spelled, "authorization_servers": [f"{at.issuer.issuer}/"]}
        profile = await at.profile()
        assert (profile.resource, profile.issuer) == (spelled, f"{at.issuer.issuer}/")
        assert profile.key == CredentialKey(at.issuer.issuer, at.resource.url)


@pytest.mark.parametrize("parent", ["", "/", "/deep", "/deep/", "/deep/mcp", "/deep/mcp?project=%31"])
async def test_the_resource_and_each_parent_of_it_are_taken_for_it(parent: str) -> None:
    async with published("", "/deep/mcp") as at:
        at.resource.metadata["resource"] = named = at.resource.server.origin + parent
        assert (await at.look(url=f"{at.resource.url}?project=1")).resource == named


@settings(deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_whatever_a_server_names_its_resource_nothing_escapes(resource: str, path: str) -> None:
    url = f"https://mcp.example/{path}"
    if covers(f"https://{resource}", url):
        assert origin_of(f"https://{resource}") == "https://mcp.example"
    assert not covers(f"https://mcp.example/{resource}/deeper", "https://mcp.example/x")


async def test_the_first_authorization_server_that_can_be_used_is_taken() -> None:
    async with published() as at:
        at.resource.metadata["authorization_servers"] = [
            *(7, None, *UNSAFE, "https://as.example/?tenant=1", "https://as.example/#x"),
            at.issuer.issuer,
            "https://later.example",
        ]
        assert (await at.look()).issuer == at.issuer.issuer


@pytest.mark.parametrize("named", [None, [], "https://as.example", [1], *[[one] for one in UNSAFE]])
async def test_metadata_without_an_authorization_server_that_can_be_used_is_refused(named: object) -> None:
    async with published() as at:
        at.resource.metadata["authorization_servers"] = named
        with pytest.raises(ProtocolTrouble, match="authorization server that can be used") as caught:
            await at.look()
        assert f"{RESOURCE}/mcp" in caught.value.cause


@pytest.mark.parametrize(
    ("header", "offered", "scopes"),
    [
        ('Bearer scope="b a b"', ["x"], ("b", "a")),
        ("Bearer scope=one", ["x"], ("one",)),
        ('Basic scope="no", Bearer scope="yes"', ["x"], ("yes",)),
        ('Bearer scope=""', ["x"], ("x",)),
        ("Bearer", ["x", "y", "x"], ("x", "y")),
        ("Bearer", ["x", 1, None, "a b", 'q"', "é", ""], ("x",)),
        ("Bearer", "x y", ()),
        ("Bearer", None, ()),
    ],
)
async def test_the_scopes_of_the_challenge_are_asked_for_and_else_all_that_the_metadata_lists(
    header: str, offered: object, scopes: tuple[str, ...]
) -> None:
    async with published() as at:
        at.resource.metadata["scopes_supported"] = offered
        assert (await at.look(header)).scopes == scopes


# The authorization server.


@pytest.mark.parametrize(
    ("path", "forms"),
    [
        ("", [OAUTH, OPENID]),
        ("/tenant", [f"{OAUTH}/tenant", f"{OPENID}/tenant", f"/tenant{OPENID}"]),
        ("/a/b", [f"{OAUTH}/a/b", f"{OPENID}/a/b", f"/a/b{OPENID}"]),
        ("/tenant/", [f"{OAUTH}/tenant", f"{OPENID}/tenant", f"/tenant{OPENID}"]),
    ],
)
async def test_each_form_of_the_address_is_asked_in_its_turn(path: str, forms: list[str]) -> None:
    for form in forms:
        async with published(path) as at:
            at.issuer.publish(form)
            assert (await at.metadata()).token_endpoint == at.issuer.at("/token")
            assert at.asked_issuer == forms[: forms.index(form) + 1]


@pytest.mark.parametrize("nothing", NOTHING)
async def test_where_there_is_nothing_the_next_form_is_asked(nothing: Reply) -> None:
    async with published() as at:
        at.issuer.publish(f"/tenant{OPENID}")
        at.issuer.server.views |= {f"{OAUTH}/tenant": nothing, f"{OPENID}/tenant": nothing}
        assert (await at.metadata()).issuer == at.issuer.issuer
        assert len(at.asked_issuer) == 3


@pytest.mark.parametrize(("answer", "kind"), TROUBLE)
async def test_trouble_of_the_authorization_server_is_trouble_and_no_other_form_is_asked(
    answer: Reply, kind: type[BurrowError]
) -> None:
    async with published() as at:
        at.issuer.publish(f"/tenant{OPENID}")
        at.issuer.server.views[f"{OAUTH}/tenant"] = answer
        with pytest.raises(kind):
            await at.metadata()
        assert set(at.asked_issuer) == {f"{OAUTH}/tenant"}


async def test_an_authorization_server_without_metadata_cannot_be_signed_in_to() -> None:
    async with published() as at:
        at.issuer.publish()
        with pytest.raises(NotFound, match="Example does not say how to sign in"):
            await at.metadata()


@pytest.mark.parametrize(
    "issuer",
    [
        None,
        7,
        "",
        "{origin}",
        "{origin}/tenant/",
        "{origin}/Tenant",
        "{origin}/tenant?x",
        "{origin}/tenant#x",
        "https://as.example/tenant",
        "{origin}0/tenant",
        "https://{rest}/tenant",
        "http://user@{rest}/tenant",
    ],
)
async def test_the_metadata_of_another_issuer_is_refused_and_both_are_shown(issuer: object) -> None:
    async with published() as at:
        origin = at.issuer.server.origin
        named = issuer.format(origin=origin, rest=origin.partition("//")[2]) if isinstance(issuer, str) else issuer
        at.issuer.metadata["issuer"] = named
        with pytest.raises(ProtocolTrouble) as caught:
            await at.metadata()
        shown = f"“{named}”".replace("user@", "[redacted]@") if isinstance(named, str) else "nothing"
        assert caught.value.cause == (
            f"{origin}{OAUTH}/tenant names the issuer {shown}, but the metadata of the resource “{at.resource.url}”"
            f" names “{at.issuer.issuer}”."
        )


async def test_a_legacy_server_whose_metadata_is_of_another_issuer_is_refused_for_its_address() -> None:
    async with published("") as at:
        profile = profile_of(ProtectedResource(at.issuer.issuer, None, ()), at.issuer.at("/mcp"), "Example")
        at.issuer.metadata["issuer"] = "https://as.example"
        with pytest.raises(ProtocolTrouble, match=f"but the server's address is “{at.issuer.issuer}”"):
            await find_metadata(at.transport, profile)


@pytest.mark.parametrize(
    ("path", "issuer"),
    [
        ("", "{origin}/"),
        ("", "HTTP://127.0.0.1:{port}"),
        ("/tenant", "{origin}/%74enant"),
        ("/a%2fb", "{origin}/a%2Fb"),
    ],
)
async def test_an_issuer_that_is_only_spelled_in_another_way_is_the_same(path: str, issuer: str) -> None:
    async with published(path) as at:
        origin = at.issuer.server.origin
        at.issuer.metadata["issuer"] = named = issuer.format(origin=origin, port=origin.rpartition(":")[2])
        # As the server spells it: its answers are compared with that, character by character (RFC 9207).
        assert (await at.metadata()).issuer == named


ENDPOINTS = ["authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"]


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("value", [*UNSAFE, "https://as.example/x#y", 7, ["https://as.example"], ""])
async def test_an_endpoint_that_is_not_safe_to_use_is_refused(name: str, value: object) -> None:
    async with published() as at:
        at.issuer.metadata[name] = value
        with pytest.raises(ProtocolTrouble, match=f"{OAUTH}/tenant names the {name}.*not safe to use"):
            await at.metadata()


@pytest.mark.parametrize("name", ENDPOINTS)
async def test_endpoints_may_be_on_another_origin_where_the_metadata_is_trusted(name: str) -> None:
    async with published() as at:
        at.issuer.metadata[name] = "https://elsewhere.example/x"
        assert getattr(await at.metadata(), name) == "https://elsewhere.example/x"


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("other", ["https://elsewhere.example/x", "http://127.0.0.1:1/x"])
async def test_endpoints_on_another_origin_are_refused_where_the_server_itself_is_trusted_alone(
    name: str, other: str
) -> None:
    async with published("") as at:
        origin = at.issuer.server.origin
        profile = CredentialProfile(CredentialKey(origin), "Host", origin, origin, IssuerTrust.SAME_ORIGIN)
        at.issuer.metadata[name] = other
        with pytest.raises(ProtocolTrouble) as caught:
            await find_metadata(at.transport, profile)
        assert caught.value.cause == (
            f"{origin}{OAUTH} names the {name} “{other}”, but the server's address is “{origin}”."
        )


ELSEWHERE = CredentialProfile(
    CredentialKey("https://as.example"), "Example", "https://mcp.example", "https://as.example"
)


@pytest.mark.parametrize("address", ["http://127.0.0.1:631/x", "https://localhost/x", "http://[::1]:9/x"])
def test_a_server_elsewhere_names_no_endpoint_on_this_machine(address: str) -> None:
    answer = {
        "issuer": "https://as.example",
        "authorization_endpoint": "https://as.example/authorize",
        "token_endpoint": address,
        "code_challenge_methods_supported": ["S256"],
    }
    with pytest.raises(ProtocolTrouble, match="not safe to use"):
        read_metadata(answer, ELSEWHERE, found_at="https://as.example/x")


@pytest.mark.parametrize("methods", [None, [], ["plain"], ["s256"], "S256", {"S256": True}])
async def test_an_authorization_server_without_s256_is_refused(methods: object) -> None:
    async with published() as at:
        at.issuer.metadata["code_challenge_methods_supported"] = methods
        with pytest.raises(ProtocolTrouble, match=f"{OAUTH}/tenant offers no PKCE with S256"):
            await at.metadata()


@pytest.mark.parametrize("name", ENDPOINTS[:2])
async def test_an_authorization_server_without_an_endpoint_to_sign_in_at_is_refused(name: str) -> None:
    async with published() as at:
        del at.issuer.metadata[name]
        with pytest.raises(ProtocolTrouble, match="names no authorization endpoint or no token endpoint"):
            await at.metadata()


@pytest.mark.parametrize("value", [True, False, "true", 1, None])
async def test_only_true_promises_anything(value: object) -> None:
    async with published() as at:
        at.issuer.metadata |= {
            "authorization_response_iss_parameter_supported": value,
            "client_id_metadata_document_supported": value,
        }
        metadata = await at.metadata()
        assert metadata.names_issuer is (value is True)
        assert metadata.takes_metadata_documents is (value is True)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*ENDPOINTS, "scopes_supported", "code_challenge_methods_supported"]), JSON))
def test_metadata_of_any_shape_is_read_or_refused(answer: dict[str, Any]) -> None:
    with suppress(ProtocolTrouble):
        read_metadata({"issuer": "https://as.example", **answer}, ELSEWHERE, found_at="https://as.example/x")


# What a person types, and what settings hold.


def test_an_address_that_a_person_types_is_taken_without_the_spaces_around_it() -> None:
    assert check_server_address(" https://mcp.example/mcp\n") == "https://mcp.example/mcp"


@pytest.mark.parametrize("typed", [*UNSAFE, "", "mcp.example"])
def test_an_address_that_no_credential_may_be_sent_to_is_refused(typed: str) -> None:
    with pytest.raises(Rejected) as caught:
        check_server_address(typed)
    assert caught.value.facts.attr == "url"


def test_metadata_is_read_back_from_its_record_and_from_that_of_another_version() -> None:
    metadata = ServerMetadata(
        "https://as.example", "https://as.example/a", "https://as.example/t", scopes=("a", "b"), names_issuer=True
    )
    record = json.loads(json.dumps(metadata.record()))
    assert ServerMetadata.of_record(record) == metadata
    assert ServerMetadata.of_record({**record, "added_later": [1]}) == metadata


@pytest.mark.parametrize(
    "damage", [None, [], {}, {"issuer": None}, {"token_endpoint": 7}, {"authorization_endpoint": []}]
)
def test_a_damaged_record_of_metadata_is_none(damage: object) -> None:
    whole = ServerMetadata("https://as.example", "https://as.example/a", "https://as.example/t").record()
    assert ServerMetadata.of_record({**whole, **damage} if isinstance(damage, dict) and damage else damage) is None


# The MCP SDK's functions for the same.


@pytest.mark.parametrize(
    "issuer", ["https://as.example", "https://as.example/", "https://as.example/a/b", "https://[::1]:1/a/"]
)
def test_the_addresses_of_an_issuer_are_those_of_the_sdk(issuer: str) -> None:
    from mcp.client.auth.utils import build_oauth_authorization_server_metadata_discovery_urls as build

    assert metadata_urls(issuer) == build(issuer, issuer)


@pytest.mark.parametrize("url", ["https://mcp.example", "https://mcp.example/", "https://mcp.example/a/mcp/"])
def test_the_addresses_of_a_resource_are_those_of_the_sdk(url: str) -> None:
    from mcp.client.auth.utils import build_protected_resource_metadata_discovery_urls as build

    assert resource_urls(url) == build(None, url)


def test_the_sdk_still_loses_parts_of_addresses_and_leaves_the_host() -> None:
    from mcp.client.auth.utils import build_oauth_authorization_server_metadata_discovery_urls as of_issuer
    from mcp.client.auth.utils import build_protected_resource_metadata_discovery_urls as of_resource
    from mcp.shared.auth_utils import check_resource_allowed

    issuer, url = "https://as.example//evil.example", "https://mcp.example/mcp;v=1?project=1"
    assert "https://evil.example" in {origin_of(address) for address in of_issuer(issuer, issuer)}
    assert {origin_of(address) for address in metadata_urls(issuer)} == {"https://as.example"}
    assert of_resource(None, url)[0] == f"https://mcp.example{RESOURCE}/mcp"
    assert resource_urls(url)[0] == f"https://mcp.example{RESOURCE}/mcp;v=1?project=1"
    for other in ("https://mcp.example/mcp?tenant=2", "https://mcp.example/mcp/"):
        assert check_resource_allowed("https://mcp.example/mcp", other)
        assert not covers(other, "https://mcp.example/mcp")
