"""The typed calls against the real workspace process: what is sent is understood, what is answered is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.core.auth.credential import Credential
from app.core.auth.grant.files import GrantFiles
from app.core.auth.http.clients import HttpClients
from app.core.auth.oauth.authorization_server import AuthorizationServer
from app.core.auth.vault.vaults import MemoryVault
from app.core.errors import BurrowError, NotFound, PermissionMissing, QuotaReached, Rejected, ServerTrouble
from app.core.fetcher import Fetcher
from app.core.hosts import workspace_host
from app.core.posthog import github as github_module
from app.core.posthog.accounts import Accounts
from app.core.posthog.github import GitHub
from app.core.posthog.models import AgentModels
from app.core.posthog.profile import posthog_profile, sign_in_with_ticket
from app.core.posthog.run_files import RunFile
from app.core.posthog.run_options import RunOptions
from app.core.posthog.run_start import RunStart
from app.core.posthog.store import McpStore
from app.core.posthog.tasks import Tasks
from app.core.posthog.types import NewTask, TaskQuery
from tests.conftest import RunningWorkspace
from tests.core.conftest import Remembered


@asynccontextmanager
async def connected(workspace: RunningWorkspace, folder: Path) -> AsyncIterator[Fetcher]:
    """A fetcher that is signed in with a login ticket."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{workspace.url}/_tickets", headers={"X-Workspace-Secret": workspace.secret})
    host = workspace_host(workspace.url, client_id=workspace.ready["client_id"], secret=workspace.secret)
    transport = HttpClients()
    files = GrantFiles(folder, "grant")
    session = Credential(
        AuthorizationServer(transport, posthog_profile(host)), files, Remembered(), folder, vault=MemoryVault()
    )
    try:
        await sign_in_with_ticket(session, answer.json()["ticket"])
        yield Fetcher(transport, session, host)
    finally:
        await session.close()
        await transport.close()


def starter_of(fetcher: Fetcher, project: int) -> RunStart:
    host = workspace_host(fetcher._host.origin, client_id="", secret="")
    github = GitHub(fetcher, host, lambda: project, Tasks(fetcher, lambda: project).repositories)
    return RunStart(fetcher, lambda: project, AgentModels(fetcher, host, lambda: project), github)


async def test_a_task_lives_from_creation_to_deletion(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with connected(workspace, tmp_path) as fetcher:
        accounts = Accounts(fetcher)
        me = await accounts.me()
        projects = await accounts.projects((), (), me)
        assert me.team is not None
        assert me.team.id in {project.id for project in projects}
        project = me.team.id
        tasks = Tasks(fetcher, lambda: project)
        with pytest.raises(NotFound):
            await tasks.get("0190f7a0-0000-7000-8000-000000000000")
        with pytest.raises(Rejected) as rejected:
            await tasks.create(NewTask(description="words", title="x" * 300))
        assert rejected.value.facts.attr == "title"
        seeded = await tasks.list(limit=500)
        assert seeded.count >= 10
        assert seeded.unreadable == 0
        created = await tasks.create(NewTask(description="Make the zyzzyva page load", repository="Org/Repo"))
        assert (created.title, created.repository) == ("Make the zyzzyva page load", "org/repo")
        assert created.created_by is not None
        assert created.created_by.account_key == me.account_key
        assert [task.id for task in (await tasks.list(TaskQuery(search="zyzzyva"))).items] == [created.id]
        renamed = await tasks.rename(created.id, "Faster")
        assert (renamed.title, renamed.title_manually_set) == ("Faster", True)
        assert (await tasks.edit(created.id, repository="")).repository is None
        await tasks.pin(created.id, True)
        assert created.id in await tasks.pinned()
        assert (await tasks.archive(created.id, True)).archived
        assert created.id not in {task.id for task in (await tasks.list(limit=100)).items}
        assert created.id in {task.id for task in (await tasks.list(TaskQuery(archived=True))).items}
        ran = await starter_of(fetcher, project).start(created)
        assert ran.latest_run is not None
        assert ran.latest_run.status == "queued"
        assert [run.id for run in (await tasks.runs(created.id)).items] == [ran.latest_run.id]
        for _ in range(2):
            # Also when it has ended already.
            cancelled = await tasks.cancel(created.id, ran.latest_run.id)
            assert cancelled.latest_run is not None
            assert cancelled.latest_run.status == "cancelled"
        assert all("/" in name for name in await tasks.repositories())
        await tasks.delete(created.id)
        with pytest.raises(NotFound):
            await tasks.get(created.id)


async def test_pages_of_a_real_server_join_without_gaps(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with connected(workspace, tmp_path) as fetcher:
        me = await Accounts(fetcher).me()
        assert me.team is not None
        project = me.team.id
        tasks = Tasks(fetcher, lambda: project)
        whole = await tasks.list(limit=100)
        page = await tasks.list(limit=3)
        ids = [task.id for task in page.items]
        while page.next is not None:
            page = await tasks.more(page.next)
            ids += [task.id for task in page.items]
        assert ids == [task.id for task in whole.items]
        assert page.count == len(ids)


async def test_the_store_of_a_real_server_is_read_and_changed(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with connected(workspace, tmp_path) as fetcher:
        me = await Accounts(fetcher).me()
        assert me.team is not None
        project = me.team.id
        store = McpStore(fetcher, lambda: project)
        with pytest.raises(NotFound, match="Template not found"):
            await store.install("0190f7a0-0000-7000-8000-000000000000")
        assert await store.templates()
        installed = await store.installations()
        assert len(installed) >= 1
        for installation in installed:
            assert installation.title
            assert installation.proxy_url.startswith(workspace.url)
        usable = next(one for one in installed if not one.pending_oauth and not one.needs_reauth and one.is_enabled)
        tools = await store.tools(usable.id) or await store.refresh_tools(usable.id)
        assert tools
        changed = await store.set_policy(usable.id, tools[0].tool_name, "do_not_use")
        assert changed.approval_state == "do_not_use"
        assert not (await store.update(usable.id, is_enabled=False)).is_enabled
        await store.remove(usable.id)
        assert usable.id not in {one.id for one in await store.installations()}


async def test_files_are_uploaded_without_the_token_and_go_with_the_run(
    workspace: RunningWorkspace, tmp_path: Path
) -> None:
    async with connected(workspace, tmp_path) as fetcher:
        me = await Accounts(fetcher).me()
        assert me.team is not None
        project = me.team.id
        tasks = Tasks(fetcher, lambda: project)
        task = await tasks.create(NewTask(description="Read the notes"))
        large = RunFile("large.bin", "application/octet-stream", 4 * 2**20, lambda: b"")
        with pytest.raises(Rejected, match="3 MB"):
            await starter_of(fetcher, project).start(task, files=[large])
        with pytest.raises(Rejected, match="another size"):
            await starter_of(fetcher, project).start(task, files=[RunFile("a.txt", "text/plain", 3, lambda: b"four")])
        assert (await tasks.get(task.id)).latest_run is None
        notes = RunFile("notes ü.txt", "text/plain", 5, lambda: b"notes")
        picture = RunFile("picture.png", "image/png", 3, lambda: b"png")
        ran = await starter_of(fetcher, project).start(task, files=[notes, picture])
        assert ran.latest_run is not None
        assert ran.latest_run.state is not None
        assert len(ran.latest_run.state["pending_user_artifact_ids"]) == 2


async def test_github_is_connected_and_a_run_is_the_persons_own_from_then_on(
    workspace: RunningWorkspace, tmp_path: Path
) -> None:
    async with connected(workspace, tmp_path) as fetcher:
        me = await Accounts(fetcher).me()
        assert me.team is not None
        project = me.team.id
        tasks = Tasks(fetcher, lambda: project)
        host = workspace_host(workspace.url, client_id="", secret="")
        github = GitHub(fetcher, host, lambda: project, tasks.repositories)
        models = AgentModels(fetcher, host, lambda: project)
        starter = RunStart(fetcher, lambda: project, models, github)
        repositories = await github.repositories()
        assert repositories.items
        [repository, *_] = repositories.items
        assert (await github.repositories(repository.rpartition("/")[2].upper())).items == (repository,)
        branches = await github.branches(repository)
        assert branches.default in branches.items
        await github.refresh_repositories()
        task = await tasks.create(NewTask(description="Look at it", repository=repository))
        known = await models.list()
        with_effort = next(model for model in known if model.efforts)
        for model in known:
            assert model.adapter in {"claude", "codex"}
        own = RunOptions(with_effort.adapter, with_effort.model, (with_effort.efforts or ("",))[0], authorship="user")
        if not any(each.personal for each in await github.connections()):
            with pytest.raises(Rejected) as refused:
                await starter.start(task, own)
            assert refused.value.facts.code == "github_authorization_required"
            address = await github.address_to_connect()
            async with httpx.AsyncClient(trust_env=False) as browser:
                ticket = httpx.URL(address).params["ticket"]
                done = await browser.post(address, data={"ticket": ticket, "decision": "approve"})
                assert done.status_code == 200
        assert any(each.personal for each in await github.connections(again=True))
        assert (await github.repositories()).items
        started = await starter.start(task, RunOptions(own.adapter, own.model, own.effort, branch=branches.default))
        run = started.latest_run
        assert run is not None
        assert (run.environment, run.model, run.branch) == ("cloud", own.model, branches.default)
        assert run.state is not None
        assert run.state["pr_authorship_mode"] == "user"
        assert run.state["initial_permission_mode"] == "plan"
        assert (await tasks.get(task.id)).github_user_integration is not None
        await tasks.cancel(task.id, run.id)


async def test_a_browser_may_come_back_from_github_once_for_its_project_within_five_minutes(
    workspace: RunningWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(workspace, tmp_path) as fetcher:
        host, tasks = workspace_host(workspace.url, client_id="", secret=""), Tasks(fetcher, lambda: 1)
        github = GitHub(fetcher, host, lambda: 1, tasks.repositories)
        assert not github.take_beginning(1)
        await github.address_to_connect()
        assert not github.take_beginning(2)
        assert github.take_beginning(1)
        assert not github.take_beginning(1)
        await github.address_to_connect()
        now = github_module.monotonic()
        monkeypatch.setattr(github_module, "monotonic", lambda: now + 301)
        assert not github.take_beginning(1)


async def test_what_the_real_server_refuses_is_typed(workspace: RunningWorkspace, tmp_path: Path) -> None:
    async with connected(workspace, tmp_path) as fetcher:
        me = await Accounts(fetcher).me()
        assert me.team is not None
        project = me.team.id
        task = await Tasks(fetcher, lambda: project).create(NewTask(description="Refused"))
        starter = starter_of(fetcher, project)
        kinds: dict[str, type[BurrowError]] = {
            "usage_limit_exceeded": QuotaReached,
            "billing_limit": QuotaReached,
            "signal_report_task_cap": QuotaReached,
            "access_unverified": ServerTrouble,
            "code_access_required": PermissionMissing,
            "github_authorization_required": Rejected,
        }
        for refusal, kind in kinds.items():
            async with httpx.AsyncClient(trust_env=False) as client:
                switched = await client.post(
                    f"{workspace.url}/_faults/runs",
                    json={"refuse_start": refusal, "limit_type": "burst", "reset_seconds": 60},
                    headers={"X-Workspace-Secret": workspace.secret},
                )
            assert switched.status_code == 200
            with pytest.raises(kind) as refused:
                await starter.start(task)
            assert refused.value.facts.code == refusal
            if kind is QuotaReached:
                assert refused.value.facts.limit is not None
                assert refused.value.facts.limit.resets_at is not None
