"""Repositories, branches, models and the account that a person connects, as the pickers of a client ask for them."""

from __future__ import annotations

import html
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

    from tests.workspace.lab import Lab, Tokens

PROJECT = "/api/environments/1/integrations/"
MINE = "/api/users/@me/integrations/"
TASKS = "/api/projects/1/tasks/"


@pytest.fixture(scope="module")
def held(shared_lab: Lab) -> Tokens:
    return shared_lab.sign_in()


def get(lab: Lab, held: Tokens, path: str, **query: Any) -> Any:
    answer = lab.http.get(path, params=query, headers=held.header)
    assert answer.status_code == 200, answer.text
    return answer.json()


def connect(lab: Lab, held: Tokens, decision: str = "approve") -> httpx.Response:
    body = {"team_id": 1, "connect_from": "posthog_code"}
    url = lab.http.post(f"{MINE}github/start/", json=body, headers=held.header).json()["install_url"]
    ticket = re.search(r'name="ticket" value="([^"]+)"', lab.http.get(url).text)
    assert ticket is not None
    return lab.http.post(url.partition("?")[0], data={"ticket": ticket[1], "decision": decision})


def link_of(page: str) -> str:
    """The link back to Burrow on a page."""
    found = re.search(r'href="(burrow:[^"]+)"', page)
    assert found is not None
    return html.unescape(found[1])


def test_repositories_are_searched_and_paged(lab: Lab, held: Tokens) -> None:
    [installation] = get(lab, held, PROJECT)["results"]
    path = f"{PROJECT}{installation['id']}/github_repos/"
    first = get(lab, held, path, limit=2)
    assert ([each["full_name"] for each in first["repositories"]], first["has_more"]) == (
        ["hedgerow/api", "hedgerow/mobile"],
        True,
    )
    rest = get(lab, held, path, limit=2, offset=2)
    assert ([each["name"] for each in rest["repositories"]], rest["has_more"]) == (["shop"], False)
    assert [each["full_name"] for each in get(lab, held, path, search="MOB")["repositories"]] == ["hedgerow/mobile"]
    assert lab.http.get(f"{PROJECT}2/github_repos/", headers=held.header).status_code == 404


def test_branches_are_searched_and_the_default_one_is_first(lab: Lab, held: Tokens) -> None:
    path = f"{PROJECT}1/github_branches/"
    found = get(lab, held, path, repo="Hedgerow/Shop")
    assert found == {"branches": ["main", "fix/safari-payment-sheet"], "default_branch": "main", "has_more": False}
    assert get(lab, held, path, repo="hedgerow/shop", search="safari")["branches"] == ["fix/safari-payment-sheet"]
    for name in ("", "no/such"):
        answer = lab.http.get(path, params={"repo": name}, headers=held.header)
        assert (answer.status_code, answer.json()["attr"]) == (400, "repo")


def test_a_repository_that_was_added_by_hand_shows_after_a_refresh(lab: Lab, held: Tokens) -> None:
    path = f"{PROJECT}1/github_repos/"
    get(lab, held, path)
    folder = lab.workspace.data / "repositories" / "acme" / "web.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(folder)], check=True)
    assert "acme/web" not in [each["full_name"] for each in get(lab, held, path)["repositories"]]
    answers = [lab.http.post(f"{path}refresh/", headers=held.header) for _ in range(11)]
    assert "acme/web" in [each["full_name"] for each in answers[0].json()["repositories"]]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]


def test_a_run_in_ones_own_name_needs_the_account_that_the_person_connects_on_the_hosts_page(
    lab: Lab, held: Tokens
) -> None:
    made = lab.http.post(TASKS, json={"title": "Mine"}, headers=held.header).json()
    runs = f"{TASKS}{made['id']}/runs/"
    body = {"environment": "cloud", "pr_authorship_mode": "user"}
    refused = lab.http.post(runs, json=body, headers=held.header).json()
    assert (refused["code"], refused["attr"]) == ("github_authorization_required", "pr_authorship_mode")
    assert refused["error"] == refused["detail"]
    denied = connect(lab, held, "deny").text
    assert "Nothing was connected" in denied
    assert link_of(denied) == (
        "burrow://integration?provider=github&project_id=1&status=error&error_code=access_denied&host=workspace"
    )
    assert get(lab, held, MINE) == {"results": []}

    done = connect(lab, held).text
    assert "GitHub is connected" in done
    assert "go back to Burrow yourself" in done
    [account] = get(lab, held, MINE)["results"]
    assert link_of(done) == (
        f"burrow://integration?provider=github&project_id=1&installation_id={account['installation_id']}"
        "&status=success&host=workspace"
    )
    assert get(lab, held, "/api/users/@me/github_login/") == {"github_login": account["account"]["name"]}
    mine = f"{MINE}github/{account['installation_id']}/"
    assert get(lab, held, f"{mine}repos/", search="shop")["repositories"][0]["full_name"] == "hedgerow/shop"
    assert get(lab, held, f"{mine}branches/", repo="hedgerow/api")["default_branch"] == "main"
    assert lab.http.post(runs, json=body, headers=held.header).status_code == 201
    linked = {"title": "Linked", "repository": "hedgerow/api", "github_user_integration": account["id"]}
    assert lab.http.post(TASKS, json=linked, headers=held.header).json()["github_user_integration"] == account["id"]

    assert lab.http.delete(mine, headers=held.header).status_code == 204
    assert lab.http.delete(mine, headers=held.header).status_code == 404
    refused = lab.http.post(TASKS, json=linked, headers=held.header).json()
    assert refused["attr"] == "github_user_integration"


def test_the_page_of_the_host_works_once(lab: Lab, held: Tokens) -> None:
    answer = lab.http.post("/_vendor/github/connect", data={"ticket": "guessed", "decision": "approve"})
    assert (answer.status_code, "used already" in answer.text) == (400, True)
    assert get(lab, held, MINE) == {"results": []}


def test_models_name_the_adapters_and_efforts_that_go_with_them(lab: Lab, held: Tokens) -> None:
    models = {each["model"]: each for each in get(lab, held, f"{TASKS}models/")["models"]}
    assert {each["runtime_adapter"] for each in models.values()} == {"claude", "codex"}
    assert models["survey-codex-mini"]["supported_efforts"] == []
    assert "max" in models["survey-large"]["supported_efforts"]


@pytest.mark.parametrize(
    ("switch", "status", "expected"),
    [
        (
            {"refuse_start": "usage_limit_exceeded", "limit_type": "sustained", "reset_seconds": 60, "is_pro": True},
            429,
            {"type": "rate_limited", "code": "usage_limit_exceeded", "limit_type": "sustained", "is_pro": True},
        ),
        ({"refuse_start": "billing_limit"}, 429, {"code": "billing_limit", "is_pro": False}),
        ({"refuse_start": "access_unverified"}, 503, {"code": "access_unverified"}),
        ({"refuse_start": "code_access_required"}, 403, {"code": "code_access_required"}),
        ({"refuse_start": "github_authorization_required"}, 400, {"code": "github_authorization_required"}),
    ],
)
def test_the_switchboard_refuses_a_start_as_the_contract_does(
    lab: Lab, held: Tokens, switch: dict[str, Any], status: int, expected: dict[str, Any]
) -> None:
    made = lab.http.post(TASKS, json={"title": "Refused"}, headers=held.header).json()
    lab.switch("runs", **switch)
    path = f"{TASKS}{made['id']}/runs/"
    answer = lab.http.post(path, json={"environment": "cloud"}, headers=held.header)
    assert answer.status_code == status
    assert {name: answer.json()[name] for name in expected} == expected
    assert ("reset_at" in answer.json()) == ("reset_seconds" in switch)
    assert lab.http.post(path, json={"environment": "cloud"}, headers=held.header).status_code == 201
