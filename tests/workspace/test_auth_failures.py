"""Which view answers 401 and which 403, and what the person behind a good token sees (docs/wire.md, "Dead tokens")."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

if TYPE_CHECKING:
    from tests.workspace.lab import Lab

NOBODY = "00000000-0000-4000-8000-000000000000"
CHALLENGING = (
    "/api/users/@me/",
    "/api/users/@me/integrations/",
    "/api/users/@me/integrations/github/1/repos/",
    "/api/users/@me/github_login/",
    "/api/organizations/",
    f"/api/organizations/{NOBODY}/",
    "/api/projects/1/",
    "/api/projects/1/desktop/access/",
    "/api/projects/1/feature_flags/",
    "/api/environments/1/integrations/",
    "/api/environments/1/integrations/1/github_repos/",
    "/api/environments/1/integrations/1/github_branches/",
    "/oauth/userinfo/",
)
SESSION_FIRST = (
    "/api/projects/1/tasks/",
    "/api/projects/1/tasks/pinned/",
    "/api/projects/1/tasks/models/",
    "/api/projects/1/tasks/repositories/",
    "/api/projects/1/tasks/search/",
    f"/api/projects/1/tasks/{NOBODY}/",
    f"/api/projects/1/tasks/{NOBODY}/runs/",
    f"/api/projects/1/tasks/{NOBODY}/runs/{NOBODY}/",
    f"/api/projects/1/tasks/{NOBODY}/runs/{NOBODY}/session_logs/",
    f"/api/projects/1/tasks/{NOBODY}/runs/{NOBODY}/stream/",
)
VIEWS = [*((path, 401) for path in CHALLENGING), *((path, 403) for path in SESSION_FIRST)]


@pytest.mark.parametrize(("path", "status"), VIEWS)
def test_a_credential_that_fails_is_refused_as_the_view_does_it(lab: Lab, path: str, status: int) -> None:
    held = lab.sign_in()
    lab.switch("kill-access-token")
    expired = lab.sign_in()
    lab.switch("advance-clock", seconds=604_900)
    bad_key = "Personal API key found in request Authorization header is invalid."
    for header, code, detail in (
        (None, "not_authenticated", "Authentication credentials were not provided."),
        ("Basic YTpi", "not_authenticated", "Authentication credentials were not provided."),
        ("Bearer", "not_authenticated", "Authentication credentials were not provided."),
        ("Bearer pha_unknown", "authentication_failed", "Invalid access token."),
        (f"Bearer {held.access}", "authentication_failed", "Invalid access token."),
        (f"Bearer {expired.access}", "authentication_failed", "Access token has expired."),
        (f"Bearer {held.refresh}", "authentication_failed", bad_key),
        ("Bearer phx_unknown", "authentication_failed", bad_key),
        ("Bearer something", "authentication_failed", bad_key),
    ):
        answer = lab.http.get(path, headers={} if header is None else {"Authorization": header})
        assert answer.status_code == status, header
        assert answer.json() == {"type": "authentication_error", "code": code, "detail": detail, "attr": None}
        challenge = answer.headers.get("www-authenticate")
        expected = f'Bearer resource_metadata="{lab.workspace.url}/.well-known/oauth-protected-resource"'
        assert challenge == (expected if status == 401 else None)


@pytest.mark.parametrize(("path", "_status"), VIEWS)
def test_a_scope_that_is_missing_is_a_403_everywhere(lab: Lab, path: str, _status: int) -> None:
    held = lab.sign_in(scope="cohort:read")
    answer = lab.http.get(path, headers=held.header)
    assert answer.status_code == 403
    assert (answer.json()["type"], answer.json()["code"]) == ("authentication_error", "permission_denied")
    assert answer.json()["detail"].startswith("API key missing required scope '")


def test_write_implies_read_and_read_does_not_imply_write(lab: Lab) -> None:
    writer = lab.sign_in(scope="task:write")
    assert lab.http.get("/api/projects/1/tasks/", headers=writer.header).status_code == 200
    reader = lab.sign_in(scope="task:read")
    answer = lab.http.post("/api/projects/1/tasks/", json={"description": "x"}, headers=reader.header)
    assert (answer.status_code, answer.json()["detail"]) == (403, "API key missing required scope 'task:write'")


def test_a_project_grant_does_not_reach_organisations(lab: Lab) -> None:
    held = lab.sign_in(ticket={"access_level": "team"})
    assert lab.http.get("/api/projects/1/tasks/", headers=held.header).status_code == 200
    for path in ("/api/organizations/", f"/api/organizations/{NOBODY}/"):
        answer = lab.http.get(path, headers=held.header)
        assert answer.status_code == 403
        assert answer.json()["detail"] == (
            "API keys with scoped projects are only supported on project-based endpoints."
        )


def test_a_personal_key_works_everywhere(lab: Lab) -> None:
    header = {"Authorization": f"Bearer {lab.state()['personal_api_key']}"}
    for path in ("/api/users/@me/", "/api/projects/1/tasks/", "/api/organizations/@current/"):
        assert lab.http.get(path, headers=header).status_code == 200


def test_me_names_the_person_the_organisation_and_the_project(lab: Lab) -> None:
    me = lab.me(lab.sign_in()).json()
    assert (me["email"], me["first_name"], me["is_staff"], me["is_impersonated"]) == (
        "ana@example.org",
        "Ana",
        False,
        False,
    )
    assert UUID(me["uuid"])
    assert me["distinct_id"]
    assert me["team"]["id"] == 1
    assert me["organization"]["is_ai_data_processing_approved"] is True
    assert [each["id"] for each in me["organizations"]] == [me["organization"]["id"]]
    assert {"id", "name", "slug", "logo_media_id", "membership_level"} == set(me["organizations"][0])


def test_the_person_may_change_their_name_and_place(lab: Lab) -> None:
    held = lab.sign_in()

    def change(**body: object) -> tuple[int, dict[str, object]]:
        answer = lab.http.patch("/api/users/@me/", json=body, headers=held.header)
        return answer.status_code, answer.json()

    organization = lab.me(held).json()["organization"]["id"]
    assert change(set_current_organization=organization, set_current_team=1)[0] == 200
    assert change(first_name="Anabela")[1]["first_name"] == "Anabela"
    assert change(first_name="Ana")[1]["first_name"] == "Ana"
    assert change(set_current_team=7)[1]["code"] == "does_not_exist"
    assert change(set_current_team="x")[1]["attr"] == "set_current_team"
    assert change(set_current_organization=NOBODY)[1]["code"] == "does_not_exist"
    assert change(first_name=None)[0] == 400


def test_organisation_and_project_answer_by_id_and_as_current(lab: Lab) -> None:
    held = lab.sign_in()
    organization = lab.http.get("/api/organizations/@current/", headers=held.header).json()
    assert [team["id"] for team in organization["teams"]] == [1]
    same = lab.http.get(f"/api/organizations/{organization['id']}/", headers=held.header)
    assert same.json() == organization
    assert lab.http.get(f"/api/organizations/{NOBODY}/", headers=held.header).status_code == 404
    assert lab.http.get("/api/organizations/x/", headers=held.header).status_code == 404
    project = lab.http.get("/api/projects/1/", headers=held.header).json()
    assert (project["id"], project["organization"]) == (1, organization["id"])
    assert lab.http.get("/api/projects/@current/", headers=held.header).json() == project
    assert lab.http.get("/api/projects/2/", headers=held.header).status_code == 404
    renamed = lab.http.patch("/api/projects/1/", json={"name": "Shop"}, headers=held.header).json()
    assert renamed["name"] == "Shop"
    lab.http.patch("/api/projects/1/", json={"name": project["name"]}, headers=held.header)
    assert lab.http.get("/api/users/@me/integrations/", headers=held.header).json() == {"results": []}
    code_host = lab.http.get("/api/environments/1/integrations/", headers=held.header).json()["results"]
    assert [each["kind"] for each in code_host] == ["github"]
    assert lab.http.get("/api/projects/1/desktop/access/", headers=held.header).json()["allowed"] is True
