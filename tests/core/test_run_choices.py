"""What a run can be started with: repositories and branches of every form of answer, models, what was used last."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.core.errors import Rejected, Throttled
from app.core.posthog import github as github_module
from app.core.posthog.github import GitHub, NamesPage
from app.core.posthog.models import AgentModels
from app.core.posthog.run_memory import SETTING, RepositoryKey, RunMemory
from app.core.posthog.run_options import AgentModel, RunOptions, asking, decode, encode
from app.core.posthog.tasks import Tasks
from tests.core.conftest import Remembered, Rig, signed_in
from tests.core.scripted import Reply, Request

MINE, TEAMS = "/api/users/@me/integrations/", "/api/environments/7/integrations/"
OWN = {"id": "u-1", "kind": "github", "installation_id": 9, "account": {"type": "User", "name": "ada"}}
TEAM = {"id": 3, "kind": "github", "display_name": "Acme"}
START = f"{MINE}github/start/"


def github_of(rig: Rig) -> GitHub:
    return GitHub(rig.fetcher, rig.host, lambda: 7, Tasks(rig.fetcher, lambda: 7).repositories)


def connect(rig: Rig, *, own: bool) -> str:
    """Have a connection; returns the path of what it is asked for."""
    rig.server.views[MINE] = Reply(200, {"results": [{"id": 1, "kind": "linear"}, *([OWN] if own else [])]})
    rig.server.views[TEAMS] = Reply(200, {"results": [TEAM]})
    return f"{MINE}github/9/" if own else f"{TEAMS}3/"


async def test_without_a_connection_the_repositories_are_those_of_tasks(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        names = [f"o/R{number:03}" for number in range(150)]
        rig.server.views["/api/projects/7/tasks/repositories/"] = Reply(200, {"repositories": names})
        # What the sign-in does not permit is no reason to show nothing.
        rig.server.views[TEAMS] = Reply(403, {"code": "permission_denied", "detail": "No."})
        github = github_of(rig)
        first = await github.repositories()
        assert (len(first.items), first.items[0], first.following) == (100, "o/r000", 100)
        assert (await github.repositories("", 100)).following is None
        assert (await github.repositories("R14")).items == tuple(f"o/r14{number}" for number in range(10))
        assert not first.connected
        assert await github.branches("o/r1") == NamesPage(connected=False)


@pytest.mark.parametrize(
    ("body", "following"),
    [
        ({"repositories": [{"id": 1, "name": "R", "full_name": "O/R"}, {"full_name": "o/s"}], "has_more": True}, 2),
        ({"results": ["O/R", "o/s", "o/R"]}, None),
        (["O/R", {"full_name": "o/s"}, 4, None, {"name": None}], None),
        ({"repositories": ["O/R", "o/s"], "has_more": False}, None),
    ],
)
async def test_repositories_are_read_from_answers_of_every_version(
    tmp_path: Path, body: object, following: int | None
) -> None:
    async with signed_in(tmp_path) as rig:
        path = f"{connect(rig, own=True)}repos/"
        rig.server.views[path] = Reply(200, body)  # type: ignore[arg-type]
        assert await github_of(rig).repositories() == NamesPage(("o/r", "o/s"), following)


async def test_the_own_connection_goes_first_and_is_asked_with_the_search(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        for own, listing in ((False, "github_branches"), (True, "branches")):
            path = f"{connect(rig, own=own)}{listing}/"
            rig.server.views[path] = Reply(
                200, {"branches": ["main", "Fix/X"], "default_branch": "main", "has_more": True}
            )
            found = await github_of(rig).branches("o/r", " fix ", 200)
            assert found == NamesPage(("main", "Fix/X"), 202, "main")
            query = next(each for each in rig.server.seen if each.path == path).query
            assert query == {"repo": ["o/r"], "offset": ["200"], "limit": ["100"], "search": ["fix"]}


async def test_a_list_is_not_refreshed_more_often_than_the_server_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = [1000.0]
    monkeypatch.setattr(github_module, "monotonic", lambda: moment[0])
    async with signed_in(tmp_path) as rig:
        path = f"{connect(rig, own=False)}github_repos/refresh/"
        rig.server.views[path] = Reply(200, {"repositories": []})
        github = github_of(rig)
        for _ in range(github_module.REFRESHES):
            await github.refresh_repositories()
        moment[0] += 20.0
        with pytest.raises(Throttled) as throttled:
            await github.refresh_repositories()
        assert "41 seconds" in throttled.value.advice
        assert rig.server.requests[path] == github_module.REFRESHES
        moment[0] += 41.0
        await github.refresh_repositories()


async def test_github_is_connected_at_the_address_that_the_server_names_if_that_can_be_trusted(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        github = github_of(rig)
        # An older server: the page of the contract.
        address = await github.address_to_connect()
        assert address.startswith(f"{rig.server.origin}{TEAMS}authorize/?kind=github&next=%2Faccount-connected")
        for bad in ("javascript:alert(1)", "http://elsewhere.example/x", "", None, "https://a b"):
            rig.server.views[START] = Reply(200, {"install_url": bad})
            with pytest.raises(Rejected):
                await github.address_to_connect()
        good = "https://github.com/login/oauth/authorize?state=s"
        rig.server.views[START] = Reply(200, {"install_url": good, "connect_flow": "oauth_authorize"})
        assert await github.address_to_connect() == good
        asked = [json.loads(each.body) for each in rig.server.seen if each.path == START]
        assert asked[-1] == {"team_id": 7, "connect_from": "posthog_code"}


async def test_models_are_asked_for_rarely_and_the_last_ones_are_kept(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        path = "/api/projects/7/tasks/models/"
        models = AgentModels(rig.fetcher, rig.host, lambda: 7)
        # An empty list means that the server cannot know: it is asked again.
        rig.server.views[path] = Reply(200, {"models": []})
        assert await models.list() == ()
        named = {"runtime_adapter": "claude", "model": "s", "display_name": "Sonnet", "supported_efforts": ["low", 3]}
        rig.server.views[path] = Reply(
            200, {"models": [named, {"runtime_adapter": "pi", "model": "p"}, {"runtime_adapter": "codex"}]}
        )
        assert await models.list() == (AgentModel("claude", "s", "Sonnet", ("low",)),)
        rig.server.views[path] = Reply(500)
        assert len(await models.list()) == 1
        assert rig.server.requests[path] == 2


async def test_models_of_a_server_before_their_list_are_those_of_its_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with signed_in(tmp_path) as rig:
        seen: list[Request] = []

        def view(request: Request) -> Reply:
            seen.append(request)
            owned = [("claude-1", "anthropic"), ("gpt-5-mini", "openai"), ("gpt-5", "openai"), ("gemini", "google")]
            return Reply(200, {"object": "list", "data": [{"id": name, "owned_by": by} for name, by in owned]})

        rig.server.views["/posthog_code/v1/models"] = view
        monkeypatch.setattr("app.core.posthog.models.GATEWAYS", {rig.host.origin: rig.server.origin})
        found = await AgentModels(rig.fetcher, rig.host, lambda: 7).list()
        assert found == (AgentModel("claude", "claude-1"), AgentModel("codex", "gpt-5"))
        assert found[0].efforts is None
        # It is another server's, and needs no sign-in.
        assert "authorization" not in seen[0].headers


def test_what_was_used_last_is_remembered_for_each_repository_and_agent() -> None:
    stored = Remembered()
    memory = RunMemory(stored)
    one, two = (RepositoryKey("us", "ada", 7, name) for name in ("o/a", "o/b"))
    assert memory.last(one) == RunOptions()
    claude = RunOptions("claude", "sonnet", "high", "auto", "main")
    codex = RunOptions("codex", "gpt", "", "read-only", "dev")
    for options in (claude, codex):
        stored.values[SETTING] = memory.with_last(one, options)
    json.dumps(stored.values[SETTING])
    assert memory.last(one) == codex
    assert memory.last(one, "claude") == RunOptions("claude", "sonnet", "high", "auto", "dev")
    # A repository that is new has the agent of the other one, but not its branch.
    assert memory.last(two) == RunOptions("codex", "gpt", "", "read-only")
    assert memory.last(RepositoryKey("eu", "ada", 7, "o/a")) == RunOptions()
    stored.values[SETTING] = {one.text: {"adapter": 3}, "x": "nonsense"}
    assert memory.last(one) == RunOptions()
    stored.values[SETTING] = "nonsense"
    assert memory.last(one) == RunOptions()


def test_a_mode_that_asks_for_nothing_counts_only_while_it_is_offered() -> None:
    options = RunOptions("claude", mode="bypassPermissions")
    assert asking(options, bypass=True) == options
    assert asking(options, bypass=False).mode == ""
    assert asking(RunOptions(mode="plan"), bypass=False).mode == "plan"


def test_stored_options_that_make_no_sense_are_none() -> None:
    options = RunOptions("claude", "opus", "high", "plan", "dev", publish=True)
    assert decode(encode(options)) == options
    for text in ("", "[]", "{", '{"model": 3}', "\ud800", "[" * 100_000):
        assert decode(text) is None
