"""The tools of an installation: decisions, refreshing, and what happens to tools that go away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.workspace.store_client import Store, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.workspace.store_upstream import Upstream

TOOL_FIELDS = {
    "id",
    "tool_name",
    "display_name",
    "description",
    "input_schema",
    "approval_state",
    "team_state",
    "locked",
    "decided_by",
    "last_seen_at",
    "removed_at",
    "created_at",
    "updated_at",
}


@pytest.fixture
def installed(store: Store, upstream: Upstream) -> Iterator[str]:
    """An installation of the scripted server whose tools were listed."""
    body = {"name": "Scripted", "url": upstream.url, "auth_type": "api_key", "api_key": "k"}
    wanted = store.ask("POST", "/mcp_server_installations/install_custom/", json=body).json()["id"]
    until(lambda: store.tools(wanted))
    yield wanted
    store.one(wanted, "DELETE")


def names(store: Store, wanted: str, **query: str) -> list[str]:
    return [one["tool_name"] for one in store.tools(wanted, **query)]


def test_a_tool_has_every_field_and_waits_for_a_decision(store: Store, installed: str) -> None:
    [first, _second] = store.tools(installed)
    assert set(first) == TOOL_FIELDS
    assert (first["approval_state"], first["removed_at"], first["locked"]) == ("needs_approval", None, False)
    assert first["input_schema"] == {"type": "object", "properties": {}}


def test_a_decision_stays_when_the_list_is_refreshed(store: Store, installed: str) -> None:
    for state in ("approved", "do_not_use", "needs_approval", "approved"):
        assert store.decide(installed, "first", state).json()["approval_state"] == state
    refreshed = store.refresh_tools(installed).json()["results"]
    assert {one["tool_name"]: one["approval_state"] for one in refreshed} == {
        "first": "approved",
        "second": "needs_approval",
    }


def test_a_tool_that_went_away_is_hidden_keeps_its_decision_and_comes_back(
    store: Store, upstream: Upstream, installed: str
) -> None:
    store.decide(installed, "first", "approved")
    upstream.tools = ["second", "third"]
    store.refresh_tools(installed)
    assert names(store, installed) == ["second", "third"]
    [gone] = [one for one in store.tools(installed, include_removed="1") if one["tool_name"] == "first"]
    assert gone["removed_at"] is not None
    assert gone["approval_state"] == "approved"
    assert store.one(installed).json()["tool_count"] == 2
    upstream.tools = ["first"]
    store.refresh_tools(installed)
    [back] = store.tools(installed)
    assert (back["tool_name"], back["removed_at"], back["approval_state"]) == ("first", None, "approved")


@pytest.mark.parametrize(
    ("body", "code"),
    [({}, "required"), ({"approval_state": "maybe"}, "invalid_choice"), ({"approval_state": 1}, "invalid_choice")],
)
def test_a_wrong_decision_is_refused(store: Store, installed: str, body: dict[str, Any], code: str) -> None:
    answer = store.ask("PATCH", f"/mcp_server_installations/{installed}/tools/first/", json=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["attr"]) == (400, code, "approval_state")


def test_an_unknown_tool_cannot_be_decided_on(store: Store, installed: str) -> None:
    assert store.decide(installed, "fourth", "approved").status_code == 404


def test_a_disabled_installation_is_not_refreshed(store: Store, installed: str) -> None:
    store.one(installed, "PATCH", json={"is_enabled": False})
    answer = store.refresh_tools(installed)
    assert (answer.status_code, answer.json()) == (400, {"detail": "Installation is disabled"})


def test_a_server_that_fails_leaves_the_list_as_it_was(store: Store, upstream: Upstream, installed: str) -> None:
    upstream.answer = lambda _seen, handler: upstream.reply(handler, 500, {"error": "broken"})
    answer = store.refresh_tools(installed)
    detail = "Could not refresh tools from the upstream MCP server"
    assert (answer.status_code, answer.json()) == (502, {"detail": detail})
    assert names(store, installed) == ["first", "second"]


def test_a_server_that_cannot_be_reached_is_installed_without_tools(store: Store) -> None:
    body = {"name": "Far", "url": "https://mcp.example.org/mcp", "auth_type": "api_key", "api_key": "k"}
    wanted = store.ask("POST", "/mcp_server_installations/install_custom/", json=body).json()["id"]
    assert store.refresh_tools(wanted).status_code == 502
    assert store.tools(wanted) == []
    store.one(wanted, "DELETE")


def test_a_vendor_token_that_died_is_renewed_while_refreshing(store: Store) -> None:
    ledger = store.connect_ledger()["id"]
    store.lab.switch("vendor", vendor="ledger", action="kill_access_token")
    assert store.refresh_tools(ledger).status_code == 200
    assert store.one(ledger).json()["needs_reauth"] is False
