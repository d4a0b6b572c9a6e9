"""UpdateRecord: what is remembered of updates, in `updates/record.json` of the data folder. Standard library only.

It is read before anything else of a start, so a record that cannot be read counts as an empty one.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from app.core.private import make_private_folder, replace_private

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "updates"
FILE = "record.json"
# Of the last installer on Windows: its exit code.
INSTALLER_CODE = "installer-code"
LARGEST = 256_000
# In Unix seconds: the end of the year 9999.
LATEST = 253_402_300_800

T = TypeVar("T", bound="Trial | UpdateOutcome | UpdateRecord")


@dataclass(frozen=True, slots=True)
class Trial:
    """A version that was put in place and has not yet shown that it starts.

    `target` is the file or bundle that was replaced, `backup` the former one, empty where the system's installer has
    replaced it. `starts` counts the starts so far.
    """

    former: str
    version: str
    target: str
    backup: str
    sha256: str
    starts: int = 0


@dataclass(frozen=True, slots=True)
class UpdateOutcome:
    """What became of an update: `happened` is `updated`, `put back` or `failed`, said to the person once."""

    happened: str
    former: str
    version: str
    reason: str = ""
    notes: str = ""
    said: bool = False


@dataclass(frozen=True, slots=True)
class UpdateRecord:
    """All times are Unix seconds, 0 for never. All versions are text, empty for none.

    `checked` is the last attempt, `fresh` the last check whose metadata was valid: no later check believes a clock that
    is behind it. `highest` is the highest version that was ever offered or installed: nothing lower is offered again.
    `failed` are versions that did not start here. `staged` describes the downloaded file (`download.py`).
    """

    checked: float = 0.0
    fresh: float = 0.0
    failures: int = 0
    trouble: str = ""
    highest: str = ""
    skipped: str = ""
    failed: tuple[str, ...] = ()
    staged: dict[str, Any] | None = None
    trial: Trial | None = None
    former: Trial | None = None
    outcome: UpdateOutcome | None = None


def read_record(folder: Path) -> UpdateRecord:
    """The record in the data folder `folder`; an empty one where there is none that can be read."""
    try:
        with (folder / FOLDER / FILE).open("rb") as file:
            value = json.loads(file.read(LARGEST))
        return _record(value)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return UpdateRecord()


def write_record(folder: Path, record: UpdateRecord) -> None:
    """Store the record. Raises `OSError`."""
    make_private_folder(folder / FOLDER)
    text = json.dumps(asdict(record), indent=1, sort_keys=True)
    replace_private(folder / FOLDER / FILE, text, prefix=".record-")


def change_record(folder: Path, **changes: Any) -> UpdateRecord:
    """Read the record, change these members, store it. Raises `OSError`. The caller holds the lock."""
    record = replace(read_record(folder), **changes)
    write_record(folder, record)
    return record


def _record(value: Any) -> UpdateRecord:
    known = {field.name: value[field.name] for field in fields(UpdateRecord) if field.name in value}
    for name, kind in (("trial", Trial), ("former", Trial), ("outcome", UpdateOutcome)):
        if known.get(name) is not None:
            known[name] = _of_its_types(kind(**known[name]))
    known["failed"] = tuple(str(each) for each in known.get("failed", ()))
    for name in ("checked", "fresh"):
        known[name] = float(known.get(name, 0.0))
        # NaN is neither before nor after any moment.
        if not 0 <= known[name] < LATEST:
            raise ValueError("no time")
    if not isinstance(known.get("staged"), dict | None):
        known["staged"] = None
    return _of_its_types(UpdateRecord(**known))


def _of_its_types(value: T) -> T:
    """`value`, whose texts, numbers and flags are that. Raises `TypeError`."""
    for field in fields(value):
        if type(field.default) in {int, str, bool} or field.default is MISSING:
            expected = str if field.default is MISSING else type(field.default)
            if type(getattr(value, field.name)) is not expected:
                raise TypeError(f"{field.name} is something else")
    return value
