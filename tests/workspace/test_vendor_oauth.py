"""The vendors' authorization servers, driven as a stranger's client would."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.workspace.lab import challenge
from tests.workspace.store_client import Store, consent, modern, modern_headers, query_of

if TYPE_CHECKING:
    from tests.workspace.lab import Lab

CALLBACK = "http://127.0.0.1:9/back"
VERIFIER = secrets.token_urlsafe(48)


class Client:
    """A client registered with Ledger."""

    def __init__(self, lab: Lab) -> None:
        self.http = lab.http
        self.base = f"{lab.workspace.url}/_vendor"
        self.mcp = f"{lab.workspace.url}/_vendor/ledger/mcp"
        answer = self.http.post(f"{self.base}/register", json={"redirect_uris": [CALLBACK], "client_name": "Probe"})
        assert answer.status_code == 201, answer.text
        self.id = str(answer.json()["client_id"])

    def address(self, **changes: str | None) -> str:
        query: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.id,
            "redirect_uri": CALLBACK,
            "state": "s1",
            "code_challenge": challenge(VERIFIER),
            "code_challenge_method": "S256",
            "resource": self.mcp,
            **changes,
        }
        kept = {name: value for name, value in query.items() if value is not None}
        return str(httpx.URL(f"{self.base}/authorize", params=kept))

    def code(self, **changes: str | None) -> str:
        return query_of(consent(self.http, self.address(**changes)).headers["location"])["code"]

    def token(self, **form: str) -> httpx.Response:
        return self.http.post(f"{self.base}/token", data={"client_id": self.id, **form})

    def exchange(self, code: str, **changes: str) -> httpx.Response:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return self.token(**{**form, **changes})

    def refresh(self, token: str) -> httpx.Response:
        return self.token(grant_type="refresh_token", refresh_token=token)

    def pair(self) -> dict[str, Any]:
        answer = self.exchange(self.code())
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def list_tools(self, token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
        headers |= modern_headers(method="tools/list")
        return self.http.post(self.mcp, json=modern("tools/list"), headers=headers)


@pytest.fixture
def client(lab: Lab) -> Client:
    return Client(lab)


def test_the_metadata_names_an_issuer_of_its_own(lab: Lab) -> None:
    found = lab.http.get("/.well-known/oauth-authorization-server/_vendor").json()
    assert found["issuer"] == f"{lab.workspace.url}/_vendor"
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["registration_endpoint"].startswith(found["issuer"])
    assert lab.http.get("/_vendor/.well-known/openid-configuration").json() == found
    closed = lab.http.get("/.well-known/oauth-authorization-server/_vendor/partners").json()
    assert "registration_endpoint" not in closed


def test_the_protected_resource_names_its_authorization_server(lab: Lab) -> None:
    found = lab.http.get("/.well-known/oauth-protected-resource/_vendor/ledger/mcp").json()
    assert found["resource"] == f"{lab.workspace.url}/_vendor/ledger/mcp"
    assert found["authorization_servers"] == [f"{lab.workspace.url}/_vendor"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://example.org/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://[broken/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"redirect_uris": [CALLBACK], "client_name": 7}, "invalid_client_metadata"),
        ([], "invalid_client_metadata"),
    ],
)
def test_a_wrong_registration_is_refused(lab: Lab, body: object, error: str) -> None:
    answer = lab.http.post("/_vendor/register", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_an_unknown_client_and_a_foreign_redirect_never_leave_the_page(client: Client) -> None:
    unknown = client.http.get(client.address(client_id="nobody"))
    foreign = client.http.get(client.address(redirect_uri="http://127.0.0.1:9/elsewhere"))
    assert [unknown.status_code, foreign.status_code] == [400, 400]
    assert "location" not in unknown.headers
    assert "location" not in foreign.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"resource": "http://127.0.0.1:9/mcp"}, "invalid_target"),
    ],
)
def test_a_wrong_authorization_request_goes_back_with_its_state(
    client: Client, changes: dict[str, str | None], error: str
) -> None:
    answer = client.http.get(client.address(**changes))
    found = query_of(answer.headers["location"])
    assert (answer.status_code, found["error"], found["state"], found["iss"]) == (302, error, "s1", client.base)


def test_the_port_of_a_loopback_redirect_may_differ(client: Client) -> None:
    assert client.code(redirect_uri="http://127.0.0.1:4711/back")


def test_saying_no_is_told_to_the_client(client: Client) -> None:
    found = query_of(consent(client.http, client.address(), "deny").headers["location"])
    assert (found["error"], found["state"]) == ("access_denied", "s1")


def test_a_consent_counts_once(client: Client) -> None:
    page = client.http.get(client.address()).text
    ticket = page.split('name="ticket" value="')[1].split('"')[0]
    form = {"ticket": ticket, "decision": "approve"}
    assert client.http.post(f"{client.base}/authorize", data=form).status_code == 302
    assert client.http.post(f"{client.base}/authorize", data=form).status_code == 400


def test_the_consent_page_needs_nothing_from_elsewhere_and_cannot_be_framed(client: Client) -> None:
    page = client.http.get(client.address())
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


def test_a_client_name_cannot_write_markup_into_the_page(lab: Lab, client: Client) -> None:
    body = {"redirect_uris": [CALLBACK], "client_name": "<b onclick=x>"}
    other = lab.http.post("/_vendor/register", json=body).json()["client_id"]
    assert "<b onclick" not in client.http.get(client.address(client_id=other)).text


def test_a_code_works_once(client: Client) -> None:
    code = client.code()
    assert client.exchange(code).status_code == 200
    again = client.exchange(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("changes", [{"code_verifier": "x" * 50}, {"redirect_uri": "http://127.0.0.1:9/other"}])
def test_a_stolen_code_is_useless(client: Client, changes: dict[str, str]) -> None:
    answer = client.exchange(client.code(), **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_code_ends_with_the_clock(lab: Lab, client: Client) -> None:
    code = client.code()
    lab.switch("advance-clock", seconds=121)
    assert client.exchange(code).json()["error"] == "invalid_grant"


def test_a_refresh_token_rotates_and_ends_the_old_access_token(client: Client) -> None:
    first = client.pair()
    second = client.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert client.list_tools(first["access_token"]).status_code == 401
    assert client.list_tools(second["access_token"]).status_code == 200


def test_a_spent_refresh_token_ends_the_whole_family(client: Client) -> None:
    first = client.pair()
    second = client.refresh(first["refresh_token"]).json()
    assert client.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    assert client.refresh(second["refresh_token"]).json()["error"] == "invalid_grant"
    assert client.list_tools(second["access_token"]).status_code == 401


def test_an_access_token_ends_with_the_clock(lab: Lab, client: Client) -> None:
    pair = client.pair()
    lab.switch("advance-clock", seconds=pair["expires_in"] + 1)
    assert client.list_tools(pair["access_token"]).status_code == 401


def test_revoking_ends_the_grant_and_always_answers_200(client: Client) -> None:
    pair = client.pair()
    assert client.http.post(f"{client.base}/revoke", data={"token": "nonsense"}).status_code == 200
    assert client.http.post(f"{client.base}/revoke", data={"token": pair["refresh_token"]}).status_code == 200
    assert client.list_tools(pair["access_token"]).status_code == 401


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_id": "nobody", "grant_type": "refresh_token"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "vrt_x"}, 400, "invalid_grant"),
    ],
)
def test_the_token_endpoint_words_its_refusals(client: Client, form: dict[str, str], status: int, error: str) -> None:
    answer = client.token(**form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_the_workspaces_tokens_open_no_vendor_and_the_vendors_open_nothing_else(lab: Lab, client: Client) -> None:
    workspaces, vendors = lab.sign_in().access, client.pair()["access_token"]
    refusal = client.list_tools(workspaces)
    assert refusal.status_code == 401
    assert 'resource_metadata="' in refusal.headers["www-authenticate"]
    bearer = {"Authorization": f"Bearer {vendors}"}
    assert lab.http.get("/api/users/@me/", headers=bearer).status_code in (401, 403)
    assert lab.http.post("/mcp", headers=bearer).status_code == 401
    assert lab.http.post("/_vendor/timesheet/mcp", headers=bearer).status_code == 401
    assert lab.http.post("/_vendor/postbox/mcp", headers=bearer).status_code == 401


def test_a_narrow_grant_cannot_write(lab: Lab, client: Client) -> None:
    token = client.exchange(client.code(scope="invoices:read")).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    message = modern("tools/call", name="void_invoice", arguments={"number": "HB-2040"})
    answer = client.http.post(client.mcp, json=message, headers={**headers, **modern_headers("void_invoice")})
    result = answer.json()["result"]
    assert result["isError"] is True
    assert "invoices:write" in result["content"][0]["text"]


def test_the_closed_vendor_knows_its_partner_only(lab: Lab) -> None:
    Store(lab)
    assert lab.http.post("/_vendor/partners/register", json={"redirect_uris": [CALLBACK]}).status_code == 404
    form = {"grant_type": "refresh_token", "client_id": "timesheet-partner", "client_secret": "wrong"}
    answer = lab.http.post("/_vendor/partners/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
