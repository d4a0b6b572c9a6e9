"""The MCP store's views: what is offered, installed, connected, changed and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.workspace.lab import Lab
from tests.workspace.store_client import BASE, Store, approve, consent, query_of, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunningWorkspace
    from tests.workspace.store_upstream import Upstream

TEMPLATE_FIELDS = {
    "id",
    "name",
    "url",
    "docs_url",
    "description",
    "auth_type",
    "icon_key",
    "icon_domain",
    "category",
}
INSTALLATION_FIELDS = {
    "id",
    "template_id",
    "name",
    "icon_key",
    "icon_domain",
    "display_name",
    "url",
    "description",
    "auth_type",
    "is_enabled",
    "scope",
    "is_owner",
    "needs_reauth",
    "pending_oauth",
    "proxy_url",
    "tool_count",
    "created_at",
    "updated_at",
}
SEEDED = ["Workspace", "Postbox", "Ledger"]


@pytest.fixture
def store(lab: Lab) -> Iterator[Store]:
    """The store with nothing but the seeded installations, Ledger not connected."""
    found = Store(lab)
    yield found
    for one in found.installations():
        if one["name"] not in SEEDED:
            found.one(one["id"], "DELETE")


def custom(store: Store, **body: Any) -> httpx.Response:
    whole = {"name": "Mine", "auth_type": "api_key", "api_key": "k", **body}
    return store.ask("POST", "/mcp_server_installations/install_custom/", json=whole)


def from_template(store: Store, name: str, **body: Any) -> httpx.Response:
    whole = {"template_id": store.template(name)["id"], **body}
    return store.ask("POST", "/mcp_server_installations/install_template/", json=whole)


def test_a_missing_token_is_challenged(lab: Lab) -> None:
    answer = lab.http.get(f"{BASE}/mcp_server_installations/")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert "resource_metadata=" in answer.headers["www-authenticate"]


def test_a_dead_token_is_answered_with_the_envelope(lab: Lab) -> None:
    store = Store(lab)
    lab.switch("kill-access-token")
    answer = store.ask("GET", "/mcp_servers/")
    assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")


def test_a_token_without_the_scope_is_told_which_one_is_missing(lab: Lab) -> None:
    client = lab.register(scope="task:read")["client_id"]
    store = Store(lab, lab.sign_in(client, scope="task:read"))
    answer = store.ask("GET", "/mcp_server_installations/")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert "project:read" in answer.json()["detail"]


def test_another_project_is_not_found(store: Store) -> None:
    answer = store.lab.http.get("/api/environments/999/mcp_servers/", headers=store.tokens.header)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_templates_have_every_field_and_a_known_category(store: Store) -> None:
    templates = store.ask("GET", "/mcp_servers/").json()["results"]
    assert len(templates) >= 12
    assert {frozenset(one) for one in templates} == {frozenset(TEMPLATE_FIELDS)}
    assert {one["category"] for one in templates} == {"business", "data", "design", "dev", "infra", "productivity"}
    assert {one["auth_type"] for one in templates} == {"api_key", "oauth"}


def test_an_icon_is_a_picture(store: Store) -> None:
    light = store.ask("GET", "/mcp_servers/icon/", params={"domain": "ledger.example", "theme": "light"})
    dark = store.ask("GET", "/mcp_servers/icon/", params={"domain": "ledger.example", "theme": "dark"})
    assert light.headers["content-type"] == "image/png"
    assert light.content.startswith(b"\x89PNG")
    assert light.content != dark.content


def test_a_new_workspace_has_three_servers_one_of_them_to_be_finished(store: Store) -> None:
    found = store.installations()
    assert [one["name"] for one in found] == SEEDED
    assert {frozenset(one) for one in found} == {frozenset(INSTALLATION_FIELDS)}
    assert [one["auth_type"] for one in found] == ["api_key", "api_key", "oauth"]
    assert found[0]["url"] == store.lab.workspace.ready["mcp_url"]
    assert all(one["proxy_url"].startswith(store.url) for one in found)


def test_the_tools_of_connected_servers_are_listed_without_being_asked_for(store: Store) -> None:
    own = until(lambda: store.tools(store.named("Workspace")["id"]))
    assert len(own) >= 14
    states = {one["tool_name"]: one["approval_state"] for one in own}
    assert states["list_tasks"] == "approved"
    assert states["create_task"] == "needs_approval"
    assert states["import_legacy_export"] == "do_not_use"


def test_installations_are_not_made_by_posting_to_their_list(store: Store) -> None:
    for method in ("POST", "PUT"):
        answer = store.ask(method, "/mcp_server_installations/", json={})
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_an_installation_can_be_renamed_and_switched_off_and_on(store: Store) -> None:
    wanted = store.named("Postbox")["id"]
    changed = store.one(wanted, "PATCH", json={"display_name": "Mail", "is_enabled": False}).json()
    assert (changed["display_name"], changed["is_enabled"]) == ("Mail", False)
    back = store.one(wanted, "PATCH", json={"display_name": "Postbox", "is_enabled": True}).json()
    assert (back["display_name"], back["is_enabled"]) == ("Postbox", True)


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"display_name": 5}, "display_name"),
        ({"is_enabled": "yes"}, "is_enabled"),
        ({"description": []}, "description"),
    ],
)
def test_a_wrong_change_names_the_field(store: Store, body: dict[str, Any], attr: str) -> None:
    answer = store.one(store.named("Postbox")["id"], "PATCH", json=body)
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)


def test_what_is_deleted_is_gone(store: Store, upstream: Upstream) -> None:
    wanted = custom(store, url=upstream.url).json()["id"]
    assert store.one(wanted, "DELETE").status_code == 204
    for answer in (store.one(wanted), store.one(wanted, "DELETE"), store.refresh_tools(wanted)):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_an_api_key_server_works_at_once_and_keeps_its_key_to_itself(store: Store, upstream: Upstream) -> None:
    answer = custom(store, url=upstream.url, api_key="secret-of-the-vendor", description="d")
    assert answer.status_code == 201
    made = answer.json()
    assert (made["name"], made["needs_reauth"], made["pending_oauth"]) == ("Mine", False, False)
    assert "secret-of-the-vendor" not in answer.text
    assert [one["tool_name"] for one in until(lambda: store.tools(made["id"]))] == ["first", "second"]
    assert {one.headers.get("authorization") for one in upstream.seen} == {"Bearer secret-of-the-vendor"}


def test_a_template_with_an_api_key_needs_one(store: Store) -> None:
    answer = from_template(store, "Stripe")
    assert (answer.status_code, answer.json()) == (400, {"detail": "api_key is required"})
    assert from_template(store, "Stripe", api_key="sk_test").status_code == 201


def test_an_unreachable_vendor_fails_discovery(store: Store) -> None:
    answer = from_template(store, "Linear")
    assert (answer.status_code, answer.json()) == (400, {"detail": "OAuth discovery failed."})
    assert "Linear" not in [one["name"] for one in store.installations()]


def test_an_unknown_template_is_not_found(store: Store) -> None:
    body = {"template_id": "00000000-0000-4000-8000-000000000000"}
    answer = store.ask("POST", "/mcp_server_installations/install_template/", json=body)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Template not found"})


def test_a_server_is_installed_once(store: Store, upstream: Upstream) -> None:
    assert custom(store, url=upstream.url).status_code == 201
    again = custom(store, url=upstream.url + "/")
    own = custom(store, url=store.lab.workspace.ready["mcp_url"])
    ledger = from_template(store, "Ledger")
    for answer in (again, own, ledger):
        assert (answer.status_code, answer.json()) == (400, {"detail": "This server URL is already installed."})


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/mcp",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://example.org/mcp",
        "https://10.0.0.1/mcp",
        "https://169.254.169.254/latest",
        "http://user:secret@127.0.0.1/mcp",
        "http://127.0.0.1:notaport/mcp",
        "http://[::1/mcp",
        "https://",
        "http://127.0.0.1/a b",
    ],
)
def test_an_address_that_must_not_be_called_is_refused(store: Store, url: str) -> None:
    answer = custom(store, url=url)
    assert (answer.status_code, answer.json()["attr"]) == (400, "url")
    assert answer.json()["detail"].startswith("URL not allowed: ")


def test_the_workspaces_own_api_is_no_mcp_server(store: Store) -> None:
    answer = custom(store, url=store.named("Postbox")["proxy_url"])
    assert (answer.status_code, answer.json()["attr"]) == (400, "url")


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"url": None}, "url"),
        ({"name": ""}, "name"),
        ({"auth_type": "basic"}, "auth_type"),
        ({"auth_type": None}, "auth_type"),
        ({"scope": "team"}, "scope"),
        ({"install_source": "elsewhere"}, "install_source"),
        ({"api_key": "line\nbreak"}, "api_key"),
    ],
)
def test_a_wrong_custom_server_names_the_field(store: Store, body: dict[str, Any], attr: str) -> None:
    answer = custom(store, **{"url": "http://127.0.0.1:1/mcp", **body})
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)


def test_a_vendor_without_registration_needs_a_client_id(store: Store) -> None:
    url = f"{store.url}/_vendor/timesheet/mcp"
    refused = custom(store, url=url, auth_type="oauth", api_key="")
    detail = "This MCP server does not support Dynamic Client Registration (DCR)."
    assert (refused.status_code, refused.json()) == (400, {"detail": detail})
    known = {"client_id": "timesheet-partner", "client_secret": "timesheet-partner-secret"}
    begun = custom(store, url=url, auth_type="oauth", api_key="", **known)
    assert begun.status_code == 200
    approve(store.lab.http, begun.json()["redirect_url"])
    assert store.named("Mine")["pending_oauth"] is False


def test_a_refused_registration_is_told(store: Store, upstream: Upstream) -> None:
    base = upstream.url.removesuffix("/mcp")

    def answer(seen: Any, handler: Any) -> bool:
        if "oauth-authorization-server" in seen.path:
            metadata = {
                "issuer": base,
                "authorization_endpoint": f"{base}/a",
                "token_endpoint": f"{base}/t",
                "registration_endpoint": f"{base}/r",
                "code_challenge_methods_supported": ["S256"],
            }
            return upstream.reply(handler, 200, metadata)
        return upstream.reply(handler, 403, {"error": "no"})

    upstream.answer = answer
    refused = custom(store, url=upstream.url, auth_type="oauth")
    assert (refused.status_code, refused.json()) == (400, {"detail": "OAuth registration failed."})


@pytest.mark.parametrize("wrong", [{"issuer": "http://127.0.0.1:1"}, {"code_challenge_methods_supported": ["plain"]}])
def test_metadata_that_cannot_be_trusted_fails_discovery(
    store: Store, upstream: Upstream, wrong: dict[str, Any]
) -> None:
    base = upstream.url.removesuffix("/mcp")
    metadata = {
        "issuer": base,
        "authorization_endpoint": f"{base}/a",
        "token_endpoint": f"{base}/t",
        "code_challenge_methods_supported": ["S256"],
        **wrong,
    }
    upstream.answer = lambda _seen, handler: upstream.reply(handler, 200, metadata)
    refused = custom(store, url=upstream.url, auth_type="oauth", client_id="known")
    assert (refused.status_code, refused.json()) == (400, {"detail": "OAuth discovery failed."})


def test_finishing_to_connect_makes_the_server_usable(start_workspace: Callable[..., RunningWorkspace]) -> None:
    with Lab(start_workspace()) as lab:
        store = Store(lab)
        ledger = store.named("Ledger")
        assert (ledger["pending_oauth"], ledger["needs_reauth"]) == (True, False)
        assert store.refresh_tools(ledger["id"]).status_code == 502
        connected = store.connect_ledger()
        assert (connected["pending_oauth"], connected["needs_reauth"]) == (False, False)
        names = [one["tool_name"] for one in until(lambda: store.tools(ledger["id"]))]
        assert names == ["list_invoices", "get_invoice", "create_draft", "void_invoice"]


def test_authorizing_is_a_redirect_unless_the_app_asks(store: Store) -> None:
    ledger = store.named("Ledger")["id"]
    plain = store.ask("GET", "/mcp_server_installations/authorize/", params={"installation_id": ledger})
    assert plain.status_code == 302
    assert plain.headers["location"].startswith(f"{store.url}/_vendor/authorize?")
    query = query_of(store.authorize(installation_id=ledger))
    assert query["code_challenge_method"] == "S256"
    assert query["resource"] == f"{store.url}/_vendor/ledger/mcp"
    assert query["redirect_uri"] == f"{store.url}/api/mcp_store/oauth_redirect/"


def test_a_template_can_be_authorized_too(store: Store) -> None:
    address = store.authorize(template_id=store.template("Timesheet")["id"])
    assert store.named("Timesheet")["pending_oauth"] is True
    approve(store.lab.http, address)
    assert store.named("Timesheet")["pending_oauth"] is False


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({}, 400, "exactly one"),
        ({"installation_id": "x", "template_id": "y"}, 400, "exactly one"),
        ({"installation_id": "x"}, 404, "Not found"),
        ({"template_id": "x"}, 404, "Template not found"),
    ],
)
def test_authorizing_needs_one_target(store: Store, query: dict[str, str], status: int, words: str) -> None:
    answer = store.ask("GET", "/mcp_server_installations/authorize/", params=query)
    assert answer.status_code == status
    assert words in answer.json()["detail"]


def test_a_server_with_an_api_key_has_nothing_to_authorize(store: Store) -> None:
    wanted = {"installation_id": store.named("Postbox")["id"]}
    answer = store.ask("GET", "/mcp_server_installations/authorize/", params=wanted)
    detail = "Installation is missing OAuth state — reinstall the server"
    assert (answer.status_code, answer.json()) == (400, {"detail": detail})


@pytest.mark.parametrize(
    ("callback", "fine"),
    [
        ("posthog-code://mcp-oauth-complete", True),
        ("array://done", True),
        ("http://localhost:8238/mcp-oauth-complete", True),
        ("http://127.0.0.1:8238/mcp-oauth-complete", False),
        ("https://example.org/", False),
        ("http://localhost.example.org/", False),
        ("javascript:alert(1)", False),
        ("http://[", False),
    ],
)
def test_only_the_apps_own_callbacks_are_accepted(store: Store, callback: str, fine: bool) -> None:
    query = {
        "installation_id": store.named("Ledger")["id"],
        "install_source": "posthog-code",
        "posthog_code_callback_url": callback,
    }
    answer = store.ask("GET", "/mcp_server_installations/authorize/", params=query)
    if fine:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()) == (400, {"detail": "Invalid callback URL"})


def test_the_browser_ends_at_the_callback_with_the_outcome(store: Store) -> None:
    ledger, back = store.named("Ledger")["id"], "posthog-code://mcp-oauth-complete"
    wanted = {"installation_id": ledger, "posthog_code_callback_url": back}
    good = approve(store.lab.http, store.authorize(**wanted)).headers["location"]
    assert good == f"{back}?status=success"
    bad = approve(store.lab.http, store.authorize(**wanted), "deny").headers["location"]
    assert bad == f"{back}?status=error&error=cancelled"


def test_without_a_callback_the_browser_ends_at_a_page(store: Store) -> None:
    ledger = store.named("Ledger")["id"]
    for decision, words in (("approve", "Connected"), ("deny", "Not connected")):
        end = approve(store.lab.http, store.authorize(installation_id=ledger), decision)
        assert words in store.lab.http.get(end.headers["location"]).text


def test_an_answer_counts_once_and_for_ten_minutes(store: Store) -> None:
    ledger = store.named("Ledger")["id"]
    answer = consent(store.lab.http, store.authorize(installation_id=ledger)).headers["location"]
    assert store.lab.http.get(answer).status_code == 302
    assert store.lab.http.get(answer).status_code == 400
    late = consent(store.lab.http, store.authorize(installation_id=ledger)).headers["location"]
    store.lab.switch("advance-clock", seconds=601)
    assert store.lab.http.get(late).status_code == 400


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code": None}, "Missing authorization code"),
        ({"code": "wrong"}, "token_exchange_failed"),
        ({"iss": "http://127.0.0.1:1/other"}, "token_exchange_failed"),
        ({"error": "server_error"}, "server_error"),
    ],
)
def test_a_bad_answer_of_the_vendor_is_told_to_the_app(
    store: Store, changes: dict[str, str | None], error: str
) -> None:
    wanted = {"installation_id": store.named("Ledger")["id"], "posthog_code_callback_url": "array://done"}
    good = httpx.URL(consent(store.lab.http, store.authorize(**wanted)).headers["location"])
    query = {name: value for name, value in {**dict(good.params), **changes}.items() if value is not None}
    end = store.lab.http.get(good.copy_with(params=query))
    assert query_of(end.headers["location"]) == {"status": "error", "error": error}


def test_sharing_twice_is_a_conflict(store: Store, upstream: Upstream) -> None:
    wanted = custom(store, url=upstream.url).json()["id"]
    path = f"/mcp_server_installations/{wanted}"
    assert store.ask("POST", f"{path}/share/").json()["scope"] == "shared"
    assert store.ask("POST", f"{path}/share/").status_code == 409
    assert store.ask("POST", f"{path}/unshare/").json()["scope"] == "personal"


def test_connecting_is_throttled_per_person(lab: Lab) -> None:
    store = Store(lab, throttled=True)
    query = {"installation_id": "x"}
    answers = [store.ask("GET", "/mcp_server_installations/authorize/", params=query) for _time in range(11)]
    assert [one.status_code for one in answers] == [404] * 10 + [429]
    assert answers[-1].json()["code"] == "throttled"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    lab.switch("advance-clock", seconds=61)
    assert store.ask("GET", "/mcp_server_installations/authorize/", params=query).status_code == 404


def test_the_public_redirect_is_throttled_per_address(lab: Lab) -> None:
    answers = [lab.http.get("/api/mcp_store/oauth_redirect/?state=x").status_code for _time in range(6)]
    assert answers == [400] * 5 + [429]


def test_addresses_follow_the_port_of_each_start(start_workspace: Callable[..., RunningWorkspace]) -> None:
    first = start_workspace()
    with Lab(first) as lab:
        store = Store(lab)
        ledger = store.connect_ledger()["id"]
        tokens = store.tokens
    assert first.process.stdin is not None
    first.process.stdin.close()
    first.process.wait(5)
    second = start_workspace(data=first.data)
    assert second.url != first.url
    with Lab(second) as lab:
        store = Store(lab, tokens)
        assert all(one["url"].startswith(second.url) for one in store.installations())
        assert store.refresh_tools(ledger).status_code == 200
        assert store.connect_ledger()["pending_oauth"] is False
