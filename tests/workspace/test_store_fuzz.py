"""No input makes the store, the proxy, the MCP endpoint or a vendor answer with a 5xx of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workspace.store_client import BASE, Store

if TYPE_CHECKING:
    from tests.workspace.lab import Lab

HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=40),
    st.sampled_from(["", "\x00", "\ud800", "' OR 1=1 --", "../../etc/passwd", "x" * 5000, "http://[::1", "{}", "%00"]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)
NAMES = (
    "template_id",
    "api_key",
    "name",
    "url",
    "auth_type",
    "client_id",
    "install_source",
    "posthog_code_callback_url",
    "scope",
    "display_name",
    "description",
    "is_enabled",
    "approval_state",
    "jsonrpc",
    "id",
    "method",
    "params",
    "redirect_uris",
    "client_name",
    "vendor",
    "action",
    "times",
    "seconds",
)
BODIES = st.one_of(st.dictionaries(st.sampled_from(NAMES), HOSTILE, max_size=8), HOSTILE)
PLACES = (
    ("POST", f"{BASE}/mcp_server_installations/install_template/"),
    ("POST", f"{BASE}/mcp_server_installations/install_custom/"),
    ("PATCH", BASE + "/mcp_server_installations/{one}/"),
    ("PATCH", BASE + "/mcp_server_installations/{one}/tools/list_tasks/"),
    ("POST", BASE + "/mcp_server_installations/{one}/proxy/"),
    ("POST", BASE + "/mcp_server_installations/{one}/share/"),
    ("POST", "/mcp"),
    ("POST", "/_vendor/register"),
    ("POST", "/_vendor/token"),
    ("POST", "/_vendor/authorize"),
    ("POST", "/_vendor/postbox/mcp"),
    ("POST", "/_faults/vendor"),
    ("POST", "/_faults/mcp"),
)
SEARCHED = (
    f"{BASE}/mcp_servers/icon/",
    f"{BASE}/mcp_server_installations/",
    f"{BASE}/mcp_server_installations/authorize/",
    BASE + "/mcp_server_installations/{one}/tools/",
    "/api/mcp_store/oauth_redirect/",
    "/_vendor/authorize",
    "/project/1/settings/mcp-servers",
)
QUERY_NAMES = (
    "domain",
    "theme",
    "limit",
    "offset",
    "installation_id",
    "template_id",
    "install_source",
    "state",
    "code",
)
QUERY_NAMES += ("error", "iss", "client_id", "redirect_uri", "include_removed", "posthog_code_callback_url", "scope")
TEXTS = st.one_of(st.text(max_size=30), st.sampled_from(["\x00", "9" * 50, "-1", "http://[", "a" * 3000]))
BOUND = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def store(shared_lab: Lab) -> Store:
    """One person for the whole module, who never meets a throttle."""
    return Store(shared_lab)


@pytest.fixture(scope="module")
def own(store: Store) -> str:
    """The id of the workspace's own installation."""
    return str(store.named("Workspace")["id"])


def sent(store: Store, method: str, path: str, **options: Any) -> int:
    headers = {**store.tokens.header, **store.lab.guard, **options.pop("headers", {})}
    headers |= {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    return store.lab.http.request(method, path, headers=headers, **options).status_code


@pytest.mark.parametrize(("method", "path"), PLACES)
@given(body=BODIES)
@BOUND
def test_no_body_breaks_a_view(store: Store, own: str, method: str, path: str, body: object) -> None:
    assert sent(store, method, path.format(one=own), content=json.dumps(body).encode()) < 500
    if path.startswith("/_faults"):
        store.lab.switch("reset")
        store.lab.switch("mcp", throttles=False)


@pytest.mark.parametrize("path", SEARCHED)
@given(query=st.dictionaries(st.sampled_from(QUERY_NAMES), TEXTS, max_size=5))
@BOUND
def test_no_query_breaks_a_view(store: Store, own: str, path: str, query: dict[str, str]) -> None:
    assert sent(store, "GET", path.format(one=own), params=query) < 500


@given(part=st.text(alphabet=st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30))
@BOUND
def test_no_path_breaks_a_view(store: Store, own: str, part: str) -> None:
    part = quote(part, safe="")
    for path in (
        f"{BASE}/mcp_server_installations/{part}/",
        f"{BASE}/mcp_server_installations/{part}/proxy/",
        f"{BASE}/mcp_server_installations/{own}/tools/{part}/",
        f"/api/environments/{part}/mcp_servers/",
        f"/_vendor/{part}/mcp",
    ):
        assert sent(store, "GET", path) < 500


@given(
    headers=st.dictionaries(
        st.sampled_from(("mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name")),
        st.text(alphabet="abc0129-_.", max_size=20),
    )
)
@BOUND
def test_no_protocol_header_breaks_the_endpoint(store: Store, headers: dict[str, str]) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert sent(store, "POST", "/mcp", content=json.dumps(message).encode(), headers=headers) < 500
