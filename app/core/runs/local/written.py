"""What of a local run the server has: kept beside its log, so that nothing is written back twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.core.posthog.types import Value
from app.core.private import make_private_folder, replace_private

if TYPE_CHECKING:
    from pathlib import Path

FILE = "written.json"
# Of one request. The workspace takes 1,000 entries; servers in front of PostHog's take a few MB.
BATCH_ENTRIES, BATCH_BYTES = 200, 512 * 1024


class Written(Value, frozen=True, kw_only=True):
    """`run` is the id of the run on the server, empty before there is one; `former` are those that it went on from.

    `size` are the bytes of the log that the server has, `entries` how many of them are in `run`. `doubt` is the end of
    a part that was sent and may have arrived, 0 for none; `asked` when a run was asked for that may have been made, in
    Unix seconds. `status` is what the server was told last.
    """

    run: str = ""
    former: tuple[str, ...] = ()
    size: int = 0
    entries: int = 0
    doubt: int = 0
    asked: float = 0.0
    status: str = ""


class LogBatch(NamedTuple):
    """Entries of the log as JSON, and where the next ones begin."""

    entries: tuple[msgspec.Raw, ...]
    end: int


def load_written(folder: Path) -> Written:
    """What is stored in the folder of a run. Call it in a thread."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Written)
    except (OSError, msgspec.MsgspecError):
        return Written()


def save_written(folder: Path, written: Written) -> None:
    """Durable when it returns. Raises `OSError`. Call it in a thread."""
    make_private_folder(folder)
    replace_private(folder / FILE, msgspec.json.encode(written).decode(), prefix=".written-")


def read_batch(log: Path, start: int, end: int = 0) -> LogBatch:
    """The entries from the byte `start` on: as many as one request takes, or exactly those before `end`.

    What is not a whole line yet is left. Lines that are no JSON object are passed over. Call it in a thread.
    """
    try:
        with open(log, "rb") as file:
            file.seek(start)
            lines = file.read(end - start if end else BATCH_BYTES)
            if not end and b"\n" not in lines:
                # An entry that is longer than that.
                lines += file.readline()
    except FileNotFoundError:
        return LogBatch((), start)
    whole = lines[: lines.rfind(b"\n") + 1].splitlines(keepends=True)
    taken = whole if end else whole[:BATCH_ENTRIES]
    entries = [msgspec.Raw(line.strip()) for line in taken if _is_object(line)]
    return LogBatch(tuple(entries), start + sum(map(len, taken)))


def same_entry(mine: msgspec.Raw, theirs: object) -> bool:
    """Whether an entry of the server's log is this one of ours. Their times differ, to the microsecond."""
    entry = json.loads(bytes(mine))
    return isinstance(theirs, dict) and all(theirs.get(name) == entry[name] for name in ("timestamp", "notification"))


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except msgspec.MsgspecError:
        return False
