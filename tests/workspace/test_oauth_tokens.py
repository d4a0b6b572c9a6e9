"""The token endpoint: rotation for both kinds of client, its errors, revocation, introspection."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.workspace.lab import REDIRECT, Lab, tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import RunningWorkspace


def test_an_unknown_refresh_token_is_an_invalid_grant(lab: Lab) -> None:
    answer = lab.token(grant_type="refresh_token", refresh_token="phr_nobody", client_id=lab.first_party)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_grant"})
    assert lab.counters()["refreshes_rejected"] == 1


def test_an_unknown_client_is_an_invalid_client(lab: Lab) -> None:
    answer = lab.token(grant_type="refresh_token", refresh_token="phr_x", client_id="nobody")
    assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})
    assert lab.token(grant_type="authorization_code", code="x").json() == {"error": "invalid_client"}


def test_an_unknown_grant_type_is_said_so(lab: Lab) -> None:
    for form in ({}, {"grant_type": "password"}):
        answer = lab.token(client_id=lab.first_party, **form)
        assert (answer.status_code, answer.json()) == (400, {"error": "unsupported_grant_type"})


@pytest.mark.parametrize(
    ("content", "description"),
    [
        (b"{", "Invalid JSON payload"),
        (b'"a"', "JSON payload must be an object"),
        (b'{"grant_type": 7}', "Parameter 'grant_type' must be a string"),
        (b'{"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}', "assertion is required"),
        (b"[" * 100_000, "Invalid JSON payload"),
    ],
)
def test_a_malformed_json_body_is_an_invalid_request(lab: Lab, content: bytes, description: str) -> None:
    answer = lab.http.post("/oauth/token/", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json() == {"error": "invalid_request", "error_description": description}


def test_a_repeated_parameter_is_refused(lab: Lab) -> None:
    answer = lab.http.post(
        "/oauth/token/",
        content=b"grant_type=refresh_token&grant_type=refresh_token",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.json()["error"] == "invalid_request"


def test_json_and_form_both_buy_tokens(lab: Lab) -> None:
    held = lab.sign_in()
    body = {"grant_type": "refresh_token", "refresh_token": held.refresh, "client_id": held.client_id}
    answer = lab.http.post("/oauth/token", json=body)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert lab.refresh(tokens(answer, held.client_id)).status_code == 200


def test_a_code_works_once_for_its_own_client_redirect_and_verifier(lab: Lab) -> None:
    refused = {"error": "invalid_grant", "error_description": "Authorization code is invalid or has already been used"}
    other = lab.register()["client_id"]
    code = lab.code(lab.first_party, "v" * 43)
    assert lab.exchange(other, code, "v" * 43).json() == refused
    assert lab.exchange(lab.first_party, code, "w" * 43).json()["error"] == "invalid_grant"
    assert lab.exchange(lab.first_party, code, "").json()["error"] == "invalid_request"
    elsewhere = lab.exchange(lab.first_party, code, "v" * 43, redirect_uri=REDIRECT + "x")
    assert elsewhere.json() == {"error": "invalid_request", "error_description": "Mismatching redirect URI."}
    answer = lab.exchange(lab.first_party, code, "v" * 43).json()
    assert answer["access_token"].startswith("pha_")
    assert answer["refresh_token"].startswith("phr_")
    assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("Bearer", 604_800, "*")
    assert lab.exchange(lab.first_party, code, "v" * 43).json() == refused


def test_a_code_expires_after_five_minutes(lab: Lab) -> None:
    code = lab.code(lab.first_party, "v" * 43)
    lab.switch("advance-clock", seconds=301)
    assert lab.exchange(lab.first_party, code, "v" * 43).json()["error"] == "invalid_grant"


def test_a_first_party_refresh_kills_the_old_access_token_at_once(lab: Lab) -> None:
    held = lab.sign_in()
    assert lab.me(held).status_code == 200
    fresh = lab.refreshed(held)
    dead = lab.me(held)
    assert dead.status_code == 401
    assert dead.json()["detail"] == "Invalid access token."
    assert lab.me(fresh).status_code == 200
    assert fresh.refresh != held.refresh


def test_a_spent_refresh_token_returns_the_same_pair_within_the_grace(lab: Lab) -> None:
    held = lab.sign_in()
    fresh = lab.refreshed(held)
    lab.switch("advance-clock", seconds=110)
    again = lab.refreshed(held)
    assert (again.access, again.refresh) == (fresh.access, fresh.refresh)
    assert again.answer["expires_in"] <= 604_800 - 110
    assert lab.me(again).status_code == 200
    counted = lab.counters()
    assert (counted["refreshes_accepted"], counted["refreshes_replayed"], counted["refreshes_rejected"]) == (1, 1, 0)


def test_a_spent_refresh_token_after_the_grace_revokes_the_whole_family(lab: Lab) -> None:
    held = lab.sign_in()
    fresh = lab.refreshed(held)
    lab.switch("advance-clock", seconds=121)
    answer = lab.refresh(held)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_grant"})
    assert lab.me(fresh).json()["code"] == "authentication_failed"
    assert lab.refresh(fresh).json() == {"error": "invalid_grant"}
    counted = lab.counters()
    assert (counted["grants_revoked"], counted["refreshes_rejected"]) == (1, 2)


def test_reuse_leaves_other_grants_alone(lab: Lab) -> None:
    held, other = lab.sign_in(), lab.sign_in()
    lab.refreshed(held)
    lab.switch("advance-clock", seconds=121)
    lab.refresh(held)
    assert lab.me(other).status_code == 200
    assert lab.refresh(other).status_code == 200


def test_a_dynamic_client_keeps_its_refresh_token_and_its_older_access_tokens(lab: Lab) -> None:
    held = lab.sign_in(lab.register()["client_id"])
    second = lab.refreshed(held)
    lab.switch("advance-clock", seconds=600)
    third = lab.refreshed(held)
    assert held.refresh == second.refresh == third.refresh
    assert len({held.access, second.access, third.access}) == 3
    assert [lab.me(each).status_code for each in (held, second, third)] == [200, 200, 200]


def test_a_refresh_token_of_another_client_buys_nothing(lab: Lab) -> None:
    held = lab.sign_in(lab.register()["client_id"])
    answer = lab.refresh(held, client_id=lab.first_party)
    assert answer.json() == {"error": "invalid_grant"}
    assert lab.refresh(held).status_code == 200


def test_a_refresh_may_only_narrow_the_scope(lab: Lab) -> None:
    held = lab.sign_in(lab.register()["client_id"], scope="user:read task:read")
    assert lab.refresh(held, scope="task:write").json()["error"] == "invalid_scope"
    narrow = lab.refreshed(held, scope="task:read")
    assert narrow.answer["scope"] == "task:read"
    refusal = lab.me(narrow)
    assert refusal.status_code == 403
    assert refusal.json()["detail"] == "API key missing required scope 'user:read'"


def test_a_grant_without_scopes_reaches_nothing_and_cannot_be_renewed(lab: Lab) -> None:
    held = lab.sign_in(lab.register()["client_id"], scope="llm_gateway:read")
    assert held.answer["scope"] == ""
    refusal = lab.me(held)
    assert (refusal.status_code, refusal.json()["code"]) == (403, "permission_denied")
    assert refusal.json()["detail"] == "OAuth token has no scopes and cannot access this resource"
    assert lab.refresh(held).json() == {
        "error": "invalid_grant",
        "error_description": "Token carries no scopes; re-authorize to obtain a scoped token.",
    }


def test_a_lowered_ceiling_caps_the_next_refresh(lab: Lab) -> None:
    client = lab.register()["client_id"]
    held = lab.sign_in(client, scope="user:read task:read")
    lab.switch("scope-ceiling", client_id=client, scope="user:read")
    assert lab.refreshed(held).answer["scope"] == "user:read"
    lab.switch("scope-ceiling", client_id=client, scope="cohort:read")
    assert lab.refresh(held).json()["error_description"] == (
        "Token scopes are no longer within the application's allowed scopes; re-authorize."
    )


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("access", "This application's access was revoked; re-authorize."),
        ("sessions", "Application sessions were revoked; re-authorize."),
    ],
)
def test_a_revoked_grant_says_why(lab: Lab, reason: str, words: str) -> None:
    held = lab.sign_in()
    lab.switch("revoke-grant", reason=reason)
    assert lab.me(held).status_code == 401
    assert lab.refresh(held).json() == {"error": "invalid_grant", "error_description": words}
    assert lab.counters()["grants_revoked"] >= 1


def test_a_token_expires_by_the_clock(lab: Lab) -> None:
    held = lab.sign_in()
    lab.switch("advance-clock", seconds=604_801)
    refusal = lab.me(held)
    assert (refusal.status_code, refusal.json()["detail"]) == (401, "Access token has expired.")
    assert lab.me(lab.refreshed(held)).status_code == 200


def test_revoking_a_first_party_refresh_token_ends_the_grant(lab: Lab) -> None:
    held = lab.sign_in()
    answer = lab.http.post("/oauth/revoke/", data={"token": held.refresh, "client_id": held.client_id})
    assert (answer.status_code, answer.content) == (200, b"")
    assert lab.me(held).status_code == 401
    assert lab.refresh(held).json()["error"] == "invalid_grant"


def test_revoking_an_access_token_leaves_the_grant(lab: Lab) -> None:
    held = lab.sign_in()
    lab.http.post("/oauth/revoke/", data={"token": held.access, "client_id": held.client_id})
    assert lab.me(held).status_code == 401
    assert lab.me(lab.refreshed(held)).status_code == 200


def test_revoking_a_dynamic_refresh_token_sweeps_every_token_of_the_application(lab: Lab) -> None:
    client = lab.register()["client_id"]
    first, second = lab.sign_in(client), lab.sign_in(client)
    lab.http.post("/oauth/revoke/", data={"token": first.refresh, "client_id": client})
    assert lab.me(second).status_code == 401
    assert lab.refresh(second).json()["error"] == "invalid_grant"


def test_revocation_by_a_stranger_changes_nothing_and_still_answers_200(lab: Lab) -> None:
    held = lab.sign_in()
    for form in ({"token": held.refresh, "client_id": "nobody"}, {"token": "phr_x"}, {}):
        assert lab.http.post("/oauth/revoke/", data=form).status_code == 200
    assert lab.me(held).status_code == 200


def test_a_token_may_ask_about_itself(lab: Lab) -> None:
    held = lab.sign_in(scope="user:read")
    answer = lab.http.post("/oauth/introspect/", data={"token": held.access}, headers=held.header).json()
    assert answer["active"] is True
    assert (answer["client_id"], answer["client_name"], answer["scope"]) == (lab.first_party, "Burrow", "user:read")
    other = lab.sign_in()
    stranger = lab.http.post("/oauth/introspect/", data={"token": other.access}, headers=held.header)
    assert (stranger.status_code, stranger.json()["code"]) == (403, "permission_denied")
    lab.switch("kill-access-token")
    dead = lab.http.post("/oauth/introspect/", data={"token": held.access}, headers=held.header)
    assert (dead.status_code, dead.json()) == (200, {"active": False})
    assert lab.http.post("/oauth/introspect/", data={}).status_code == 401


def test_userinfo_names_the_person(lab: Lab) -> None:
    answer = lab.http.get("/oauth/userinfo/", headers=lab.sign_in().header).json()
    assert (answer["email"], answer["given_name"]) == ("ana@example.org", "Ana")
    assert lab.http.get("/oauth/userinfo/", headers=lab.sign_in(scope="user:read").header).status_code == 403


def test_a_confidential_client_must_know_its_secret(lab: Lab) -> None:
    registered = lab.register(token_endpoint_auth_method="client_secret_post")
    client, secret = registered["client_id"], registered["client_secret"]
    code = lab.code(client, "v" * 43)
    assert lab.exchange(client, code, "v" * 43, client_secret="wrong").status_code == 401
    assert lab.exchange(client, code, "v" * 43, client_secret=secret).status_code == 200


def test_an_organisation_grant_of_the_first_party_names_its_projects(lab: Lab) -> None:
    held = lab.sign_in(ticket={"access_level": "organization"})
    assert held.answer["scoped_teams"] == [1]
    assert len(held.answer["scoped_organizations"]) == 1
    organization = held.answer["scoped_organizations"][0]
    assert lab.http.get(f"/api/organizations/{organization}/", headers=held.header).status_code == 200
    dynamic = lab.sign_in(lab.register()["client_id"], ticket={"access_level": "organization"})
    assert dynamic.answer["scoped_teams"] == []


def test_lifetimes_and_grace_come_from_the_command_line(
    start_workspace: Callable[..., RunningWorkspace],
) -> None:
    workspace = start_workspace(
        "--access-token-seconds", "30", "--dynamic-access-token-seconds", "40", "--refresh-grace-seconds", "0"
    )
    with Lab(workspace) as lab:
        held = lab.sign_in()
        assert held.answer["expires_in"] == 30
        assert lab.sign_in(lab.register()["client_id"]).answer["expires_in"] == 40
        lab.refreshed(held)
        assert lab.refresh(held).json() == {"error": "invalid_grant"}


def test_tokens_rest_hashed(shared_workspace: RunningWorkspace, lab: Lab) -> None:
    held = lab.sign_in()
    fresh = lab.refreshed(held)
    files = [path for path in shared_workspace.data.iterdir() if path.name.startswith("workspace.sqlite3")]
    stored = b"".join(path.read_bytes() for path in files)
    for secret in (held.access, held.refresh, fresh.access, fresh.refresh):
        assert secret.encode() not in stored
        assert base64.urlsafe_b64decode(secret[4:] + "=") not in stored
