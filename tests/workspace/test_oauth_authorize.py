"""The authorization endpoint, consent page and registration, over the wire."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.workspace.lab import challenge, returned

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.workspace.lab import Lab

VERIFIER = "v" * 43


def hidden(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return html.unescape(found[1])


def test_an_unknown_client_is_told_about_the_other_region(lab: Lab) -> None:
    answer = lab.authorize(lab.request("nobody", VERIFIER))
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert "eu.posthog.com" in answer.json()["error_description"]


@pytest.mark.parametrize(
    "redirect_uri",
    [
        None,
        "",
        "http://127.0.0.1:9/elsewhere",
        "http://127.0.0.1:9/callback?x=1",
        "http://127.0.0.1:9/callback/a/b",
        "http://evil.example/callback",
        "http://127.0.0.1:9@evil.example/callback",
        "http://user@127.0.0.1:9/callback",
        "https://127.0.0.1:9/callback",
        "http://127.0.0.1:99999/callback",
        "javascript:alert(1)",
        "http://127.0.0.1:9/callback#x",
        "http://127.0.0.1:9/callback\r\nX: y",
    ],
)
def test_a_redirect_uri_that_is_not_the_clients_is_never_followed(lab: Lab, redirect_uri: str | None) -> None:
    answer = lab.authorize(lab.request(lab.first_party, VERIFIER, redirect_uri=redirect_uri))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"prompt": "none"}, "consent_required"),
    ],
)
def test_other_mistakes_go_back_to_the_client_with_state_and_issuer(
    lab: Lab, changes: dict[str, str | None], error: str
) -> None:
    back = returned(lab.authorize(lab.request(lab.first_party, VERIFIER, **changes)))
    assert (back["error"], back["state"], back["iss"]) == (error, "st-1", lab.workspace.url)


def test_prompt_login_is_a_401(lab: Lab) -> None:
    answer = lab.authorize(lab.request(lab.first_party, VERIFIER, prompt="login"))
    assert (answer.status_code, answer.json()) == (401, {"error": "login_required"})


def test_a_repeated_parameter_is_refused(lab: Lab) -> None:
    query = [*lab.request(lab.first_party, VERIFIER).items(), ("state", "other")]
    answer = lab.http.get("/oauth/authorize/", params=query)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_ticket_answers_at_once_and_works_once(lab: Lab) -> None:
    request = lab.request(lab.first_party, VERIFIER, login_ticket=lab.ticket())
    back = returned(lab.authorize(request))
    assert set(back) == {"code", "state", "iss"}
    assert (back["state"], back["iss"]) == ("st-1", lab.workspace.url)
    assert lab.authorize(request).status_code == 200


def test_a_ticket_lasts_a_minute(lab: Lab) -> None:
    request = lab.request(lab.first_party, VERIFIER, login_ticket=lab.ticket())
    lab.switch("advance-clock", seconds=61)
    assert lab.authorize(request).status_code == 200


def test_tickets_are_for_the_holder_of_the_secret(lab: Lab) -> None:
    assert lab.http.post("/_tickets").status_code == 404
    assert lab.http.post("/_tickets", headers={"X-Workspace-Secret": "guess"}).status_code == 404


def test_page_tickets_and_codes_are_for_the_holder_of_the_secret(lab: Lab) -> None:
    for path in ("/_tickets/page", "/_tickets/code"):
        assert lab.http.post(path, json={"code_challenge": challenge(VERIFIER)}).status_code == 404
        guess = {"X-Workspace-Secret": "guess"}
        assert lab.http.post(path, json={"code_challenge": challenge(VERIFIER)}, headers=guess).status_code == 404


@pytest.mark.parametrize("body", [{}, {"code_challenge": "short"}, {"code_challenge": 7}, {"code_challenge": None}])
def test_a_page_ticket_needs_the_challenge_of_its_request(lab: Lab, body: dict[str, Any]) -> None:
    assert lab.http.post("/_tickets/page", json=body, headers=lab.guard).status_code == 400


APPROVED = {"decision": "approve", "access_level": "all"}


def other_user(lab: Lab, page: httpx.Response, **form: str) -> httpx.Response:
    """What somebody can send who reaches the port and does not know the secret."""
    return lab.http.post("/oauth/authorize/", data={"csrf": hidden(page), **form})


@pytest.mark.parametrize("first_party", [True, False])
def test_another_user_of_this_machine_can_approve_nothing_and_learns_nothing(lab: Lab, first_party: bool) -> None:
    client = lab.first_party if first_party else lab.register()["client_id"]
    page = lab.authorize(lab.request(client, VERIFIER))
    person = lab.me(lab.sign_in()).json()
    for guess in ({}, {"person_code": ""}, {"person_code": "2345-6789"}, {"page_ticket": "x"}, {"login_ticket": "x"}):
        answer = other_user(lab, page, **APPROVED, **guess)
        assert (answer.status_code, "location" in answer.headers) == (403, False)
        for told in (person["email"], person["first_name"], person["organization"]["name"], person["team"]["name"]):
            assert told not in page.text + answer.text
        page = answer
    assert "no longer valid" in page.text


def test_a_page_ticket_opens_the_page_of_its_request_once(lab: Lab) -> None:
    request = lab.request(lab.first_party, VERIFIER)
    ticket = lab.page_ticket(request["code_challenge"])
    stolen = lab.request(lab.first_party, "w" * 43, page_ticket=ticket)
    assert "Approve" not in lab.authorize(stolen).text
    # Whoever showed it for another request has used it up.
    assert "Approve" not in lab.authorize({**request, "page_ticket": ticket}).text
    own = {**request, "page_ticket": lab.page_ticket(request["code_challenge"])}
    page = lab.authorize(own)
    assert "Approve" in page.text
    assert "Approve" not in lab.authorize(own).text
    assert "code" in returned(other_user(lab, page, **APPROVED))


def test_a_page_ticket_lasts_a_minute(lab: Lab) -> None:
    request = lab.request(lab.first_party, VERIFIER)
    late = {**request, "page_ticket": lab.page_ticket(request["code_challenge"])}
    lab.switch("advance-clock", seconds=61)
    assert "Approve" not in lab.authorize(late).text


def test_a_page_opened_by_hand_asks_for_a_code_which_works_once_however_it_is_typed(lab: Lab) -> None:
    code = lab.person_code()
    typed = f" {code.replace('-', ' ').lower()} "
    page = other_user(lab, lab.authorize(lab.request(lab.first_party, VERIFIER)), person_code=typed)
    assert page.status_code == 200
    assert "Approve" in page.text
    assert "code" in returned(other_user(lab, page, **APPROVED))
    again = other_user(lab, lab.authorize(lab.request(lab.first_party, VERIFIER)), person_code=code)
    assert again.status_code == 403


def test_a_code_lasts_five_minutes(lab: Lab) -> None:
    code = lab.person_code()
    lab.switch("advance-clock", seconds=301)
    assert other_user(lab, lab.authorize(lab.request(lab.first_party, VERIFIER)), person_code=code).status_code == 403


def test_the_program_shows_the_code_to_the_owner_of_the_folder(lab: Lab, tmp_path: Path) -> None:
    def run(folder: Path) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-m", "app", "workspace", "--code", "--data", str(folder)]
        return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=30)

    shown = run(lab.workspace.data)
    page = lab.authorize(lab.request(lab.first_party, VERIFIER))
    assert "burrow workspace --code" in page.text
    assert "Approve" in other_user(lab, page, person_code=shown.stdout.strip()).text
    none = run(tmp_path)
    assert (none.returncode, none.stdout) == (1, "")
    assert none.stderr == f"burrow: no workspace is running in {tmp_path}\n"


def test_a_request_can_be_denied_without_a_code(lab: Lab) -> None:
    back = returned(other_user(lab, lab.authorize(lab.request(lab.first_party, VERIFIER)), decision="deny"))
    assert back["error"] == "access_denied"


def test_the_consent_page_is_self_contained_and_cannot_be_framed(lab: Lab) -> None:
    page = lab.page(lab.request(lab.first_party, VERIFIER))
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-store"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:43210" in policy
    assert "<script" not in page.text
    assert "http://" not in page.text.replace("http://127.0.0.1:43210", "")
    assert "prefers-color-scheme: dark" in page.text
    assert "Burrow" in page.text
    assert "unverified" not in page.text
    assert "Everything you can do yourself" in page.text


def test_the_consent_page_marks_registered_clients_and_escapes_their_names(lab: Lab) -> None:
    client = lab.register(client_name="<b>Probe & Co</b>")["client_id"]
    page = lab.page(lab.request(client, VERIFIER, scope="task:read task:write user:read"))
    assert "&lt;b&gt;Probe &amp; Co&lt;/b&gt;" in page.text
    assert "<b>Probe" not in page.text
    assert "unverified" in page.text
    assert "See and change your tasks" in page.text
    assert "See your name, e-mail" in page.text


def lines(page: httpx.Response, heading: str) -> list[str]:
    """What the consent page lists under a heading."""
    listed = page.text.partition(f">{heading}</")[2].partition("</ul>")[0]
    return [re.sub(r"<[^>]+>", "", line) for line in re.findall(r"<li>(.*?)</li>", listed)]


def test_the_consent_page_sets_apart_what_is_asked_for_besides_what_was_agreed_to(lab: Lab) -> None:
    client = lab.register()["client_id"]
    first = lab.page(lab.request(client, VERIFIER, scope="project:read task:read"))
    assert len(lines(first, "It will be able to")) == 2
    form = {"decision": "approve", "access_level": "team", "team": "1"}
    back = returned(approve(lab, client, form, scope="project:read task:read"))
    lab.exchange(client, back["code"], VERIFIER)
    page = lab.page(lab.request(client, VERIFIER, scope="project:read task:read task:write project:write"))
    assert "asks for more access" in page.text
    assert lines(page, "It will also be able to") == [
        "See and change your tasks and their runs task:write",
        "See and change your project and its MCP servers project:write",
    ]
    assert lines(page, "What it can do now") == [
        "See your project and its MCP servers",
        "See your tasks and their runs",
    ]
    assert re.search(r'value="team" checked', page.text)
    assert '<option value="1" selected>' in page.text
    lab.switch("revoke-grant", client_id=client)
    again = lab.page(lab.request(client, VERIFIER, scope="project:read task:read task:write"))
    assert "asks for access" in again.text
    assert 'value="team" checked' not in again.text


def test_whoever_may_do_everything_is_asked_for_nothing_new(lab: Lab) -> None:
    lab.sign_in(scope="*")
    page = lab.page(lab.request(lab.first_party, VERIFIER, scope="task:read project:write"))
    assert "asks for access" in page.text
    assert len(lines(page, "It will be able to")) == 2


def approve(lab: Lab, client: str, form: dict[str, str], **changes: Any) -> httpx.Response:
    page = lab.page(lab.request(client, VERIFIER, **changes))
    return lab.http.post("/oauth/authorize/", data={"csrf": hidden(page), **form})


def test_approving_leads_to_a_code_that_buys_tokens(lab: Lab) -> None:
    back = returned(approve(lab, lab.first_party, {"decision": "approve", "access_level": "all"}))
    assert (back["state"], back["iss"]) == ("st-1", lab.workspace.url)
    assert lab.exchange(lab.first_party, back["code"], VERIFIER).status_code == 200


def test_denying_says_access_denied(lab: Lab) -> None:
    back = returned(approve(lab, lab.first_party, {"decision": "deny"}))
    assert (back["error"], back["state"], back["iss"]) == ("access_denied", "st-1", lab.workspace.url)


def test_a_project_grant_is_limited_to_its_project(lab: Lab) -> None:
    client = lab.register()["client_id"]
    back = returned(approve(lab, client, {"decision": "approve", "access_level": "team", "team": "1"}))
    held = lab.exchange(client, back["code"], VERIFIER).json()
    assert (held["scoped_teams"], held["scoped_organizations"]) == ([1], [])
    header = {"Authorization": f"Bearer {held['access_token']}"}
    assert lab.http.get("/api/projects/1/", headers=header).status_code == 200
    refusal = lab.http.get("/api/organizations/@current/", headers=header)
    assert refusal.status_code == 403
    assert refusal.json()["detail"].startswith("API keys with scoped projects are only supported")
    assert lab.http.get("/api/users/@me/", headers=header).status_code == 200


@pytest.mark.parametrize(
    "form",
    [
        {"decision": "approve"},
        {"decision": "approve", "access_level": "team", "team": "77"},
        {"decision": "approve", "access_level": "organization", "organization": "x"},
        {"access_level": "all"},
    ],
)
def test_an_unclear_answer_shows_the_page_again(lab: Lab, form: dict[str, str]) -> None:
    page = approve(lab, lab.first_party, form)
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    again = lab.http.post(
        "/oauth/authorize/", data={"csrf": hidden(page), "decision": "approve", "access_level": "all"}
    )
    assert "code" in returned(again)


def test_the_page_can_be_answered_once_and_not_without_its_token(lab: Lab) -> None:
    page = lab.page(lab.request(lab.first_party, VERIFIER))
    form = {"csrf": hidden(page), "decision": "approve", "access_level": "all"}
    assert lab.http.post("/oauth/authorize/", data=form).status_code == 302
    for bad in (form, {**form, "csrf": "guess"}, {"decision": "approve"}):
        assert lab.http.post("/oauth/authorize/", data=bad).status_code == 403


def test_a_form_posted_by_another_site_is_refused(lab: Lab) -> None:
    page = lab.page(lab.request(lab.first_party, VERIFIER))
    form = {"csrf": hidden(page), "decision": "approve", "access_level": "all"}
    for origin in ("http://evil.example", "null"):
        assert lab.http.post("/oauth/authorize/", data=form, headers={"Origin": origin}).status_code == 403
    own = lab.http.post("/oauth/authorize/", data=form, headers={"Origin": lab.workspace.url})
    assert own.status_code == 302


def test_the_loopback_port_and_the_first_partys_last_segment_are_free(lab: Lab) -> None:
    for uri in ("http://127.0.0.1:1024/callback", "http://[::1]:1024/callback", "http://127.0.0.1:5/callback/n0nce"):
        back = lab.authorize(lab.request(lab.first_party, VERIFIER, redirect_uri=uri, login_ticket=lab.ticket()))
        assert back.status_code == 302
        assert back.headers["location"].startswith(uri)


def test_localhost_registered_with_a_port_keeps_it(lab: Lab) -> None:
    client = lab.register(redirect_uris=["http://localhost:8237/cb", "http://127.0.0.1:8237/cb", "com.example:/cb"])
    for uri, status in (
        ("http://localhost:8237/cb", 200),
        ("http://localhost:8238/cb", 400),
        ("http://127.0.0.1:8238/cb", 200),
        ("com.example:/cb", 200),
    ):
        request = lab.request(client["client_id"], VERIFIER, redirect_uri=uri)
        assert lab.authorize(request).status_code == status, uri


def test_a_query_of_the_redirect_uri_is_kept(lab: Lab) -> None:
    client = lab.register(redirect_uris=["http://127.0.0.1/cb?a=1"])["client_id"]
    request = lab.request(client, VERIFIER, redirect_uri="http://127.0.0.1:7/cb?a=1", login_ticket=lab.ticket())
    assert returned(lab.authorize(request))["a"] == "1"


def test_requested_scopes_are_clamped_not_refused(lab: Lab) -> None:
    client = lab.register(scope="task:read user:read llm_gateway:read")
    assert client["scope"] == "task:read user:read"
    assert lab.sign_in(client["client_id"], scope="task:read task:write").answer["scope"] == "task:read"
    assert lab.sign_in(client["client_id"], scope="*").answer["scope"] == "task:read user:read"
    everything = lab.sign_in(lab.register()["client_id"], scope="").answer["scope"].split()
    assert "project:read" in everything
    assert "*" not in everything


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"redirect_uris": None}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://evil.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["data:text/html,x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://a.example/cb#x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [7]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://[::1/cb"]}, "invalid_redirect_uri"),
        ({"client_name": "PostHog Helper"}, "invalid_client_metadata"),
        ({"client_name": "My Official App"}, "invalid_client_metadata"),
        ({"client_name": "Verified"}, "invalid_client_metadata"),
        ({"client_name": 7}, "invalid_client_metadata"),
        ({"grant_types": ["password"]}, "invalid_client_metadata"),
        ({"grant_types": "authorization_code"}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"scope": 7}, "invalid_client_metadata"),
    ],
)
def test_a_bad_registration_says_what_is_wrong(lab: Lab, change: dict[str, Any], error: str) -> None:
    body = {"redirect_uris": ["http://127.0.0.1/cb"], "client_name": "Probe", **change}
    answer = lab.http.post("/oauth/register/", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_registration_that_is_no_json_object_is_refused(lab: Lab) -> None:
    for content in (b"", b"{", b"[]"):
        answer = lab.http.post("/oauth/register/", content=content)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")


def test_registration_is_throttled(lab: Lab) -> None:
    answers = [lab.http.post("/oauth/register/", content=b"{}").status_code for _ in range(61)]
    assert answers == [400] * 60 + [429]
    refused = lab.http.post("/oauth/register/", content=b"{}")
    assert refused.json()["code"] == "throttled"
    assert int(refused.headers["retry-after"]) > 0


def test_metadata_names_this_origin_and_s256_only(lab: Lab) -> None:
    url = lab.workspace.url
    for name in ("oauth-authorization-server", "openid-configuration"):
        found = lab.http.get(f"/.well-known/{name}").json()
        assert found["issuer"] == url
        assert found["code_challenge_methods_supported"] == ["S256"]
        assert found["authorization_response_iss_parameter_supported"] is True
        assert "*" not in found["scopes_supported"]
        for key in ("authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"):
            assert urlsplit(found[key])[:2] == urlsplit(url)[:2]
    resource = lab.http.get("/.well-known/oauth-protected-resource").json()
    assert (resource["resource"], resource["authorization_servers"]) == (url, [url])
    assert lab.http.get("/.well-known/oauth-protected-resource/mcp").json()["resource"] == f"{url}/mcp"
    assert lab.http.get("/.well-known/jwks.json").json() == {"keys": []}
