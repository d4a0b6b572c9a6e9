"""Files that go to an agent of this machine with a message: as what it takes, named, confined, and never lost."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import StorageTrouble
from app.core.posthog.run_files import RunFile
from app.core.runs.desk.kept_files import LONGEST_NAME, keep_file
from app.core.runs.desk.local_desk import LocalStart
from app.core.runs.items import Prompt
from app.core.runs.local.facts import AgentFacts
from app.core.runs.local.handed import LARGEST_MESSAGE, LARGEST_TEXT, hand_over
from app.core.runs.local.pictures import LARGEST, picture_of
from app.core.runs.local.status import RunPhase
from tests.core.runs_local.running import Watched, running, scripted
from tests.core.runs_local.test_desk import folder_of, kinds, local_runs, phase, task
from tests.until import until

ALL = AgentFacts(1, images=True, embedded=True)


def png(wide: int = 2, high: int = 2, size: int = 0) -> bytes:
    """The beginning of a picture, which is what is looked at, and so many bytes in all."""
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", wide, high)
    return head + bytes(max(0, size - len(head)))


async def told(it: Watched, text: str, *files: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The blocks that the agent got, and those of the log."""
    it.run.say(text, tuple(map(str, files)))
    await until(lambda: not it.run.waiting.all and it.run.status.phase is RunPhase.READY)
    stored = it.stored()
    logged = [each["params"]["prompt"] for each in stored if each.get("method") == "session/prompt"][-1]
    said = [each["params"]["update"] for each in stored if each.get("method") == "session/update"]
    answers = [each["content"]["text"] for each in said if each["sessionUpdate"] == "agent_message"]
    return json.loads(answers[-1].rpartition("heard")[0])[0], logged


async def test_each_file_goes_as_what_the_agent_takes_and_the_log_has_links_only(tmp_path: Path) -> None:
    names = {"shot.png": png(), "notes.md": b"# Notes\n", "data.bin": b"\0\1", "odd name #1.txt": b"odd"}
    files = [tmp_path / name for name in names]
    for path in files:
        path.write_bytes(names[path.name])
    async with running(tmp_path, scripted(images="yes", embedded="yes")) as it:
        (text, *blocks), logged = await told(it, "blocks", *files)
    assert text["text"] == "blocks"
    assert [each["type"] for each in blocks] == ["image", "resource", "resource_link", "resource"]
    assert (base64.b64decode(blocks[0]["data"]), blocks[0]["mimeType"]) == (png(), "image/png")
    assert blocks[1]["resource"] == {"uri": files[1].as_uri(), "mimeType": "text/markdown", "text": "# Notes\n"}
    assert (blocks[2]["name"], blocks[2]["size"]) == ("data.bin", 2)
    assert blocks[3]["resource"]["uri"].endswith("/odd%20name%20%231.txt")
    assert [each.get("name") for each in logged] == [None, *names]
    assert {each["type"] for each in logged} == {"text", "resource_link"}


async def test_an_agent_that_takes_no_content_gets_links_to_copies_that_it_may_read(tmp_path: Path) -> None:
    files = tmp_path / "data/runs/run-1/files"
    kept = Path(keep_file(files, "notes.md", b"kept\n"))
    beside = files.parent / "log.jsonl"
    async with running(tmp_path, scripted(more="yes")) as it:
        (_text, link), _logged = await told(it, "blocks", kept)
        assert (link["type"], link["uri"]) == ("resource_link", kept.as_uri())
        assert json.loads((await it.turn("blocks")).rpartition("heard")[0])[1] == [str(files)]
        assert '"content": "kept' in await it.turn(f"read:{kept}")
        for outside in (beside, files / "../log.jsonl", files / "../../../../etc/hostname"):
            assert "is outside of" in await it.turn(f"read:{outside}")
        await asyncio.to_thread(replace_with_link, kept, "/etc/hostname")
        assert "is outside of" in await it.turn(f"read:{kept}")
        assert "is outside of" in await it.turn(f"write:{kept}")
    (tmp_path / "other").mkdir()
    async with running(tmp_path / "other", scripted(more="yes")) as it:
        # Nothing was attached, so there is no further folder.
        assert json.loads((await it.turn("blocks")).rpartition("heard")[0])[1] is None


def replace_with_link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("large.png", png(size=LARGEST + 1)),
        ("long.png", png(high=8001)),
        ("not.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>" * 4000),
        ("large.txt", b"a" * (LARGEST_TEXT + 1)),
        ("latin.txt", "caf\xe9".encode("latin-1")),
        ("empty.txt", b""),
    ],
)
def test_what_a_model_would_not_take_goes_as_a_link(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert [each["type"] for each in hand_over("", (str(path),), ALL).blocks] == ["text", "resource_link"]


def test_a_message_carries_a_bounded_part_of_its_files(tmp_path: Path) -> None:
    path = tmp_path / "shot.png"
    path.write_bytes(png(size=LARGEST))
    blocks = hand_over("", (str(path),) * 6, ALL).blocks[1:]
    assert [each["type"] for each in blocks].count("image") == LARGEST_MESSAGE // LARGEST
    assert blocks[-1]["type"] == "resource_link"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("image/png", png()),
        ("image/gif", b"GIF89a\x02\0\x02\0"),
        ("image/jpeg", b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc0\0\x11\x08\0\x02\0\x02"),
        ("image/webp", b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + b"\x02\0\x02\0"),
        ("image/webp", b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x01\x40\0\0"),
        ("image/webp", b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\x01\0\0\x01\0\0"),
        (None, b"\xff\xd8\xff\xe0\0"),
        (None, b"RIFF\0\0\0\0WEBPABCD"),
        (None, b"RIFF\0\0\0\0WAVEfmt "),
        (None, b"\x89PNG\r\n\x1a\n"),
    ],
)
def test_a_picture_is_known_by_its_content(kind: str | None, content: bytes) -> None:
    assert picture_of(content) == kind


async def test_a_file_that_is_gone_is_told_and_the_message_waits_until_it_can_be_sent(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    async with running(tmp_path, scripted(embedded="yes")) as it:
        it.run.say("blocks", (str(path),))
        await until(lambda: it.run.status.held)
        assert it.run.status.text == "notes.md cannot be handed to the agent: No such file or directory."
        assert [each.text for each in it.run.waiting.all] == ["blocks"]
        assert not [each for each in it.stored() if each.get("method") == "session/prompt"]
        path.write_text("back")
        it.run.say("again")
        await until(lambda: it.ends() == ["end_turn"])
        assert "back" in str(it.stored())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe with a name")
async def test_a_message_that_is_stopped_while_its_files_are_read_is_not_sent(tmp_path: Path) -> None:
    pipe = tmp_path / "slow.txt"
    os.mkfifo(pipe)
    async with running(tmp_path, scripted(embedded="yes")) as it:
        it.run.say("blocks", (str(pipe),))
        stopping = asyncio.create_task(it.run.stop_turn())
        await it.phase(RunPhase.STOPPING)
        with await asyncio.to_thread(open, pipe, "wb"):
            pass
        await stopping
        assert (it.run.status.phase, it.run.status.held) == (RunPhase.READY, True)
        assert [each.text for each in it.run.waiting.all] == ["blocks"]
        assert not [each for each in it.stored() if each.get("method") == "session/prompt"]


async def test_the_files_of_a_task_go_with_what_its_agent_is_told_first(tmp_path: Path) -> None:
    def gone() -> bytes:
        raise StorageTrouble("b.txt cannot be read.")

    def files(read: Any) -> list[RunFile]:
        return [RunFile("a.txt", "text/plain", 1, lambda: b"first"), RunFile("../b.txt", "text/plain", 1, read)]

    agent = scripted(embedded="yes", resume="yes")
    wanted = LocalStart(agent=agent, folder=str(folder_of(tmp_path)))
    async with local_runs(tmp_path) as runs:
        with pytest.raises(StorageTrouble):
            await runs.start(task("blocks"), wanted, files(gone))
        assert runs.of("t1") == ()
        assert not list((tmp_path / "data/runs").iterdir())
        conversation = await runs.start(task("blocks"), wanted, files(lambda: b"second"))
        (queued,) = conversation.queued
        assert [Path(each).name for each in queued.files] == ["a.txt", "b.txt"]
        await conversation.start()
        await phase(conversation, RunPhase.READY)
        (prompt,) = kinds(conversation, Prompt)
        assert (prompt.text, prompt.files) == ("blocks", ("a.txt", "b.txt"))
        said = json.dumps([conversation.transcript.item(each).text for each in (2,)])  # type: ignore[attr-defined]
        assert "first" in said
        assert "second" in said


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\shot.png", "shot.png"),
        ("..", "file"),
        ("a\x1b[31m\u202egnp.exe", "a_[31m_gnp.exe"),
        ("what?.txt", "what_.txt"),
        ("n" * 300 + ".png", "n" * (LONGEST_NAME - 4) + ".png"),
        ("\u00fc" * 300, "\u00fc" * (LONGEST_NAME // 2)),
    ],
)
def test_a_kept_file_has_a_name_that_leads_nowhere(tmp_path: Path, given: str, kept: str) -> None:
    path = Path(keep_file(tmp_path / "files", given, b"content"))
    assert path.name == kept
    assert path.parent.parent == tmp_path / "files"
    assert path.stat().st_mode & 0o077 == 0
