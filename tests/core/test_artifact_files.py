"""A file of a run is saved whole or not at all, over nothing that is there, under a name that is only a name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core.errors import BurrowError, ProtocolTrouble, Rejected
from app.core.posthog import artifact_files
from app.core.posthog.artifact_files import NotSaved, file_name, save_artifact
from app.core.posthog.runs import Runs
from app.core.posthog.types import RunArtifact
from tests.core.conftest import Rig, signed_in
from tests.core.scripted import Reply

PLACE = "/api/projects/7/tasks/t/runs/r/artifacts"
REPORT = RunArtifact(id="1", name="report.md", size=6, storage_path="s/1")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("report.md", "report.md"),
        ("../../.ssh/authorized_keys", "authorized_keys"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/etc/passwd/", "passwd"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("CON.txt", "_CON.txt"),
        ("a\x00b\nc:d", "a‹U+0000›b‹U+000A›c_d"),
        ("gnp\u202eexe.png", "gnp‹U+202E›exe.png"),
        ("", "file"),
        ("..", "file"),
        ("é" * 300 + ".md", "é" * 98 + ".md"),
    ],
)
def test_a_name_of_a_server_becomes_only_a_name(given: str, named: str) -> None:
    assert file_name(given) == named


@asynccontextmanager
async def storing(tmp_path: Path) -> AsyncIterator[Rig]:
    async with signed_in(tmp_path / "data") as found:
        views = found.server.views
        views[f"{PLACE}/presign/"] = Reply(200, {"url": f"{found.server.origin}/stored", "expires_in": 60})
        views["/stored"] = Reply(200, b"report")
        yield found


async def saved(rig: Rig, target: Path, artifact: RunArtifact = REPORT, *, replace: bool = False) -> list[int]:
    told: list[int] = []
    await save_artifact(Runs(rig.fetcher, lambda: 7), "t", "r", artifact, target, told.append, replace=replace)
    return told


async def test_a_file_is_read_from_where_it_is_stored_without_the_token(tmp_path: Path) -> None:
    async with storing(tmp_path) as rig:
        assert (await saved(rig, tmp_path / "report.md"))[-1] == 6
        assert (tmp_path / "report.md").read_bytes() == b"report"
        stored = rig.server.seen[-1]
        assert "authorization" not in {name.lower() for name in stored.headers}


async def test_a_server_that_gives_no_addresses_sends_it_itself(tmp_path: Path) -> None:
    async with storing(tmp_path) as rig:
        rig.server.views[f"{PLACE}/presign/"] = Reply(404, {"detail": "Not found."})
        rig.server.views[f"{PLACE}/download/"] = Reply(200, b"report")
        assert await saved(rig, tmp_path / "report.md") == [6]


async def test_a_file_that_is_there_is_replaced_only_when_that_was_said(tmp_path: Path) -> None:
    async with storing(tmp_path) as rig:
        target = tmp_path / "report.md"
        target.write_text("mine")
        with pytest.raises(Rejected, match="there already"):
            await saved(rig, target)
        assert target.read_text() == "mine"
        await saved(rig, target, replace=True)
        assert target.read_text() == "report"


async def test_what_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with storing(tmp_path) as rig:
        folder = tmp_path / "folder"
        folder.mkdir()
        for size, limit, kind in ((7, 100, ProtocolTrouble), (None, 5, ProtocolTrouble), (101, 100, ProtocolTrouble)):
            monkeypatch.setattr(artifact_files, "LARGEST_ARTIFACT", limit)
            with pytest.raises(kind):
                await saved(rig, folder / "a", RunArtifact(name="a", size=size, storage_path="s/1"))
        with pytest.raises(NotSaved, match="cannot be written"):
            await saved(rig, tmp_path / "nowhere" / "a")
        rig.server.views["/stored"] = Reply(403, b"old")
        with pytest.raises(BurrowError):
            await saved(rig, folder / "a")
        assert list(folder.iterdir()) == []


async def test_a_download_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    async with storing(tmp_path) as rig:
        folder = tmp_path / "folder"
        folder.mkdir()
        begun = asyncio.Event()

        async def for_ever(writer: asyncio.StreamWriter) -> None:
            writer.write(b"rep")
            await writer.drain()
            begun.set()
            await asyncio.Event().wait()

        rig.server.views["/stored"] = Reply(stream=for_ever)
        work = asyncio.ensure_future(saved(rig, folder / "a"))
        await begun.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert list(folder.iterdir()) == []
