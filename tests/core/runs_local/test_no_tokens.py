"""No live token of the person reaches an agent of this machine or what it leaves: looked for in all of it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from app.core.mcp.proxy.service import PORT_SETTING, ProxyState
from app.core.posthog.runs import Runs
from app.core.posthog.types import NewTask
from app.core.runs.desk.local_desk import LocalStart
from app.core.runs.items import ToolCall
from app.core.runs.local.agents import survey_agent
from app.core.runs.local.status import RunPhase
from tests.conftest import RunningWorkspace
from tests.core.proxy._service import free_port, state_is
from tests.core.runs_local.running import scripted
from tests.core.runs_local.test_desk import kinds, phase, repository
from tests.core.test_services import services_in, signed_in

PROC = Path("/proc")


def descendants() -> list[Path]:
    """What runs below this process, as folders of `/proc`."""
    parents: dict[str, str] = {}
    for each in PROC.glob("[0-9]*/stat"):
        try:
            parents[each.parent.name] = each.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
    found, ours = [], {str(os.getpid())}
    while new := {name for name, parent in parents.items() if parent in ours} - ours:
        ours |= new
        found += [PROC / name for name in sorted(new)]
    return found


def with_secret(secrets: list[bytes], files: list[Path]) -> set[Path]:
    """Which of these files have one of the secrets in them."""
    found = set()
    for path in files:
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if any(each in content for each in secrets):
            found.add(path)
    return found


def kept_below(folder: Path) -> list[Path]:
    return [Path(place) / name for place, _folders, names in os.walk(folder) for name in names]


@pytest.mark.skipif(not PROC.is_dir() or sys.platform != "linux", reason="what a process was started with")
async def test_no_token_is_in_what_an_agent_was_started_with_wrote_or_was_told(
    tmp_path: Path, workspace: RunningWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = repository(tmp_path / "shop")
    data = tmp_path / "data"
    async with services_in(data) as services:
        backend = await signed_in(services, workspace)
        grant = backend.credential.grant
        assert grant is not None
        tokens = [grant.tokens.access_token, grant.tokens.refresh_token or ""]
        assert all(tokens)
        # As after `eval "$(…)"` in a shell that Burrow was started from.
        monkeypatch.setenv("SOMEBODYS_TOKEN", tokens[0])
        monkeypatch.setenv("SOMEBODYS_HEADER", f"Authorization: Bearer {tokens[1]}")
        await services.storage.settings.set(PORT_SETTING, free_port())
        await services.servers.list()
        await services.proxy.start()
        await state_is(services.proxy, ProxyState.SERVING)
        before = set(descendants())
        task = await backend.tasks.create(NewTask(title="Look", description="only read"))
        desk = services.local_runs
        worker = await desk.start(task, LocalStart(agent=survey_agent(), folder=str(made), worktree=True))
        await worker.start()
        if worker.setup is not None:
            await worker.agree_to_setup()
        await phase(worker, RunPhase.READY)
        # It really used the tools that need the tokens.
        assert any(each.server == "workspace" for each in kinds(worker, ToolCall))
        speaker = await desk.start(task, LocalStart(agent=scripted(http="yes"), folder=str(made)))
        await speaker.start()
        await speaker.send(f"env say:{tokens[0]}")
        await phase(speaker, RunPhase.READY)
        for each in (worker, speaker):
            await each.local.log.flush()
            await desk.write_back(each.record.id)

        def look() -> tuple[list[Path], set[Path], set[Path]]:
            secrets = [each.encode() for each in tokens]
            processes = [each for each in descendants() if each not in before]
            started_with = [each / name for each in processes for name in ("environ", "cmdline")]
            return (
                processes,
                with_secret(secrets, started_with),
                with_secret(secrets, [*kept_below(data), *kept_below(made)]),
            )

        processes, given, kept = await asyncio.to_thread(look)
        assert len(processes) >= 2
        assert given == set()
        # They are where the grants are kept, and nowhere else.
        assert {path.relative_to(data).parts[0] for path in kept} == {"sign-in-unencrypted"}
        calls = Runs(backend.fetcher, backend.require_project)
        stored = [
            (await calls.log_page(task.id, each.id, offset=0)).content for each in (await calls.list(task.id)).items
        ]
        assert len(stored) == 2
        assert not [each for each in tokens if any(each.encode() in bytes(page) for page in stored)]
