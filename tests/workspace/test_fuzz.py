"""Whatever is thrown at a route, it answers, and never with a server error it did not mean."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import Route

from app.workspace.seed.fill import NAMESPACE
from app.workspace.server import MODULES

if TYPE_CHECKING:
    from tests.workspace.lab import Lab

TASK = str(uuid5(NAMESPACE, "task-3"))
RUN = str(uuid5(NAMESPACE, "run-3-0"))
ROUTES = sorted(
    {
        (method, route.path)
        for module in MODULES
        for route in module.routes()
        if isinstance(route, Route) and route.methods
        for method in route.methods - {"HEAD"}
        # It would do as it is told and answer everything else late.
        if route.path != "/_faults/slow"
    },
    key=lambda route: (route[0] == "DELETE", route),
)
FIELDS = (
    "title", "description", "repository", "repositories", "archived", "json_schema", "origin_product", "ids",
    "pinned", "environment", "mode", "branch", "model", "runtime_adapter", "status", "state", "output", "stage",
    "state_remove_keys", "entries", "reason", "set_current_team", "set_current_organization", "first_name", "name",
    "grant_type", "code", "refresh_token", "client_id", "scope", "redirect_uris", "token", "csrf", "decision",
    "imported_mcp_servers", "relayed_mcp_servers", "method", "params", "id", "jsonrpc", "url", "auth_type",
    "template_id", "approval_state", "path", "access_level", "pending_user_message", "assertion", "is_enabled",
    "display_name", "api_key", "install_source", "posthog_code_callback_url", "client_name",
)  # fmt: skip
QUERIES = (
    "limit", "offset", "search", "status", "archived", "created_by", "channel", "ordering", "q", "after", "start",
    "event_types", "client_id", "redirect_uri", "response_type", "code_challenge", "code_challenge_method", "state",
    "login_ticket", "prompt", "include_removed", "installation_id", "template_id", "install_source", "code", "error",
)  # fmt: skip
HOSTILE = (
    "", " ", "0", "-1", "1", "9" * 40, "1e309", "true", "null", "\x00", "a\x00b", "../../etc/passwd", "%00",
    "'; DROP TABLE tasks--", "<script>alert(1)</script>", "\u202e\U0001f9a6", "ß" * 300, "x" * 2000, "@me",
    "@current", "*", "{}", "burrow-first-party", "http://127.0.0.1:1/callback", "javascript:alert(1)", "code",
    "refresh_token", "authorization_code", "S256", "cloud", "completed", TASK, RUN,
)  # fmt: skip
hostile = st.sampled_from(HOSTILE) | st.text(max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | hostile
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3)
)
bodies = (
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=8).map(lambda body: json.dumps(body).encode())
    | values.map(lambda body: json.dumps(body).encode())
    | st.binary(max_size=40)
)
kinds = st.sampled_from(
    ("application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "")
)
segments = st.sampled_from(("1", TASK, RUN, "x", "9" * 40, "@current", "%00", "%2e%2e", "a%00b", "%ff%fe", "ß" * 40))
queries = st.dictionaries(st.sampled_from(QUERIES), hostile.filter(lambda text: "\ud800" not in text), max_size=4)


@pytest.fixture(scope="module")
def bearer(shared_lab: Lab) -> dict[str, str]:
    """The personal key, which no switch and no revocation takes away."""
    return {"Authorization": f"Bearer {shared_lab.state()['personal_api_key']}"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_breaks(shared_lab: Lab, bearer: dict[str, str], method: str, path: str) -> None:
    guarded = path.startswith(("/_faults", "/_tickets"))

    @settings(
        max_examples=4,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def throw(data: st.DataObject) -> None:
        address = path
        while "{" in address:
            head, _, rest = address.partition("{")
            address = head + data.draw(segments) + rest.partition("}")[2]
        header: dict[str, str] = {"Content-Type": data.draw(kinds)}
        if data.draw(st.integers(0, 9)):
            header |= bearer
        options: dict[str, Any] = {"headers": header, "params": data.draw(queries)}
        if method not in ("GET", "DELETE"):
            options["content"] = data.draw(bodies)
        if guarded:
            header |= shared_lab.guard
        with shared_lab.http.stream(method, address, **options) as answer:
            assert answer.status_code < 500 or answer.status_code in (502, 503), (method, address, options)

    try:
        throw()
    finally:
        shared_lab.switch("reset")


def test_the_routes_that_are_thrown_at_are_all_of_them() -> None:
    assert len(ROUTES) > 50
    assert UUID(TASK)
