"""Long transcripts: older items in a private file, and in memory where there is none. Nothing is lost either way."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.core.runs import item_store, raw_log, slices
from app.core.runs.item_store import NEVER_SPILLED
from app.core.runs.items import Notice, ToolCall
from app.core.runs.spill import BLOCK, SpillFile
from app.core.runs.transcript import Change, Transcript
from tests.core.runs.logs import Rpc, ask, call, chunk, ended, entries, items, message, note, output, progress, prompt
from tests.until import until

TURNS = 12


def log(turns: int = TURNS, text: str = "x" * 300) -> list[Rpc]:
    """A log in its stored form."""
    found: list[Rpc] = []
    for turn in range(turns):
        found += [
            prompt(f"prompt {turn}", turn),
            message(f"says {turn} {text}"),
            call(f"c{turn}", rawInput={"number": turn}),
            progress(f"c{turn}", content=output(f"result {turn} {text}")),
            ended(turn),
        ]
    return found


@pytest.fixture(autouse=True)
def _few_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_store, "RECENT_ITEMS", 4)
    monkeypatch.setattr("app.core.runs.spill.BLOCK", 512)


@contextmanager
def opened(folder: Path | None) -> Iterator[Transcript]:
    transcript = Transcript(folder=folder)
    try:
        yield transcript
    finally:
        transcript.close()


def in_memory(transcript: Transcript) -> int:
    store = transcript._body.items._store
    return sum(item is not None for item in store._items)


def test_older_items_are_read_back_as_they_were(tmp_path: Path) -> None:
    with opened(tmp_path) as said, opened(None) as other:
        said.apply(entries(*log()))
        other.apply(entries(*log()))
        assert in_memory(said) <= NEVER_SPILLED + 5 < len(said)
        assert items(said) == items(other)
        assert [said.head(index) for index in range(len(said))] == [other.head(index) for index in range(len(said))]


def test_an_older_item_that_changes_is_read_back_changed(tmp_path: Path) -> None:
    with opened(tmp_path) as said:
        said.apply(entries(call("early"), *log()))
        assert said.apply(entries(progress("early", content=output("at last")))) == Change(0, 0, (0,))
        found = said.item(0)
        assert isinstance(found, ToolCall)
        assert (found.status, found.parts[0].text) == ("completed", "at last")  # type: ignore[union-attr]


def test_the_raw_log_of_an_older_item_is_complete(tmp_path: Path) -> None:
    with opened(tmp_path) as said:
        said.apply(entries(*log(), *(chunk(f"part {number} ") for number in range(50))))
        index = said.index_of("call:c0")
        assert index is not None
        assert [("tool_call_update" in line, "c0" in line) for line in said.raw(index)] == [(False, True), (True, True)]
        assert len(list(said.raw(len(said) - 1))) == 50


def test_what_is_sought_is_found_in_older_items(tmp_path: Path) -> None:
    with opened(tmp_path) as said:
        said.apply(entries(message("Grüße aus ZÜRICH"), *log()))
        assert said.find("zürich") == 0
        assert said.find("RESULT 3 ") == said.index_of("call:c3")
        assert said.find("grüsse") == 0
        assert said.find("result 3 ", after=said.index_of("call:c3") or 0) is None
        assert list(said.search("nowhere")) == [None]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the file has a name until it is closed")
async def test_the_file_has_no_name_so_nothing_is_left_when_burrow_is_killed(tmp_path: Path) -> None:
    with opened(tmp_path / "runs") as said:
        said.apply(entries(*log()))
        spill = said._body.spill
        assert spill is not None
        await until(lambda: spill._file is not None)
        assert list((tmp_path / "runs").iterdir()) == []
        assert (tmp_path / "runs").stat().st_mode & 0o777 == 0o700
        assert spill._file is not None
        assert os.fstat(spill._file.fileno()).st_mode & 0o777 == 0o600


async def test_a_folder_that_cannot_be_written_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with opened(blocked) as said, opened(None) as other:
        said.apply(entries(*log()))
        spill = said._body.spill
        assert spill is not None
        await until(lambda: spill.failure is not None)
        said.apply(entries(*log()[:1], message("more"), prompt("last", 99)))
        other.apply(entries(*log(), *log()[:1], message("more"), prompt("last", 99)))
        told = [item for item in items(said) if isinstance(item, Notice)]
        assert [(item.level, "cannot be written" in item.text) for item in told] == [("warn", True)]
        assert [item for item in items(said) if not isinstance(item, Notice)] == items(other)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the size of files")
async def test_a_disk_that_fills_up_keeps_what_follows_in_memory(tmp_path: Path) -> None:
    with opened(tmp_path) as said, opened(None) as other:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
        try:
            said.apply(entries(*log()))
            spill = said._body.spill
            assert spill is not None
            await until(lambda: spill.failure is not None)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        said.apply(entries(*log(3)))
        other.apply(entries(*log(), *log(3)))
        assert [item for item in items(said) if not isinstance(item, Notice)] == items(other)
        assert said.index_of("storage") is not None


def test_without_a_file_only_long_outputs_are_cut_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_store, "CHARACTERS_IN_MEMORY", 60_000)
    monkeypatch.setattr(item_store, "CUT_TO", 100)
    with opened(None) as said:
        said.apply(entries(*log(40, "y" * 1000)))
        first, last = said.item(2), said.item(said.index_of("call:c39") or 0)
        assert isinstance(first, ToolCall)
        assert isinstance(last, ToolCall)
        assert "cut: Burrow cannot keep more" in first.parts[0].text  # type: ignore[union-attr]
        assert len(first.parts[0].text) < 300  # type: ignore[union-attr]
        assert len(last.parts[0].text) > 1000  # type: ignore[union-attr]
        assert said.item(1).text.endswith("y")  # type: ignore[attr-defined]
        assert said.index_of("storage") is not None


def test_without_a_file_the_raw_log_is_bounded_and_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_log, "MOST_IN_MEMORY", 2_000)
    with opened(None) as said:
        said.apply(entries(*log()))
        assert ["left out" in line for line in said.raw(0)] == [True]
        assert len(list(said.raw(len(said) - 1))) == 1


async def test_a_disk_that_does_not_give_back_an_item_is_said_in_its_place(tmp_path: Path) -> None:
    with opened(tmp_path) as said:
        said.apply(entries(*log()))
        spill = said._body.spill
        assert spill is not None
        await until(lambda: not spill._waiting)
        spill._release()
        found = said.item(1)
        assert isinstance(found, Notice)
        assert "cannot be read" in found.text


def test_a_part_that_is_read_again_leads_to_the_same_from_every_place(tmp_path: Path) -> None:
    whole = [*log(3), prompt("last", 9), ask("p1", "c9"), note("permission_resolved", requestId="p1"), ended(9)]
    with opened(None) as expected:
        expected.apply(entries(*whole))
        for at in range(len(whole) + 1):
            with opened(tmp_path) as said:
                told: list[Change] = []
                said.apply(entries(*whole[:at]))
                mark = said.mark()
                said.changed.subscribe(told.append)
                said.apply(entries(*live(whole[at:]), first=1))
                again = said.rebuild(mark)
                again.apply(entries(*whole[at:]))
                assert again.finish() is None, f"read again from {at}"
                assert items(said) == items(expected)
                assert said.state == expected.state
                assert list(said.turns()) == list(expected.turns())


def test_an_answer_that_was_guessed_is_known_after_the_log_was_read_again(tmp_path: Path) -> None:
    with opened(tmp_path) as said:
        said.apply(entries(prompt("a"), call("c1"), ask("p1", "c1")))
        mark = said.mark()
        said.apply(entries(progress("c1")))
        assert said.head(2).status == "elsewhere"
        again = said.rebuild(mark)
        again.apply(entries(note("permission_response", requestId="p1", optionId="allow"), progress("c1")))
        again.finish()
        assert said.head(2).status == "allow"


@pytest.mark.parametrize("size", [300 * 1024, 5 * 1024 * 1024])
def test_one_long_text_is_as_good_as_another(tmp_path: Path, size: int) -> None:
    text = "long line " * (size // 10)
    with opened(tmp_path) as said:
        said.apply(entries(chunk(text), chunk(text), call("c1"), progress("c1", content=output(text)), *log()))
        assert said.head(0).characters == 2 * len(text)
        assert said.item(0).text == text + text  # type: ignore[attr-defined]
        assert said.item(1).parts[0].text == text  # type: ignore[attr-defined]


def test_what_is_kept_of_shown_items_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.core.runs.masked_items.KEPT_CHARACTERS", 2_000)
    with opened(tmp_path) as said:
        said.apply(entries(*log()))
        assert said.item(1) is said.item(1)
        for index in range(len(said)):
            said.item(index)
        assert sum(said.head(index).characters for index in said._masked._kept) <= 2_000


def test_what_was_missed_comes_in_its_place_and_only_that_is_told(tmp_path: Path) -> None:
    whole = log(2)
    with opened(tmp_path) as said:
        said.apply(entries(*whole[:2]))
        mark = said.mark()
        # The call was missed, and the beginning of what came next.
        said.apply(entries(ended(0), prompt("prompt 1", 1), live=True, first=7))
        again = said.rebuild(mark)
        again.apply(entries(*whole[2:6]))
        assert again.finish() == Change(2, 1, (2, 3))
        assert [type(item).__name__ for item in items(said)] == ["Prompt", "Message", "ToolCall", "TurnEnd", "Prompt"]


def test_a_whole_history_is_read_beside_what_is_shown(tmp_path: Path) -> None:
    with opened(tmp_path) as said:
        said.apply(entries(*log(2)))
        again = said.rebuild()
        again.apply(entries(*log(1)))
        assert len(said) == 8
        assert again.finish() == Change(4, -4, ())
        assert len(said) == 4


def test_what_is_appended_to_the_file_is_read_back_whether_or_not_it_is_written(tmp_path: Path) -> None:
    spill = SpillFile(tmp_path)
    places = [(spill.append(bytes([number % 256]) * (number * 7)), number) for number in range(400)]
    for place, number in places:
        assert spill.read(place, number * 7) == bytes([number % 256]) * (number * 7)
    assert BLOCK > 512
    spill.close()


def live(rpcs: list[Rpc]) -> Iterator[Rpc]:
    """The form of a stream: messages in chunks."""
    for rpc in rpcs:
        changed = rpc.get("params", {}).get("update", {}) if rpc.get("method") == "session/update" else {}
        if changed.get("sessionUpdate") == "agent_message":
            text = changed["content"]["text"]
            yield from (chunk(text[start : start + 100]) for start in range(0, len(text), 100))
        else:
            yield rpc


async def test_a_very_long_entry_ends_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "LONG_ENTRY", 1_000)
    log = entries(*(message(text) for text in ("a", "b", "c" * 2_000, "d" * 2_000, "e", "f")))
    found: list[int] = []
    assert await slices.apply_in_slices(lambda some: found.append(len(some)), log) == 6
    assert found == [3, 1, 2]
