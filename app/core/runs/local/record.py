"""What is kept of each local run beside its log, so that it can go on after Burrow was started again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.core.posthog.types import Value
from app.core.private import make_private_folder, replace_private
from app.core.runs.local.agents import LocalAgent

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

RUNS_FOLDER = "runs"
RECORD, LOG = "run.json", "log.jsonl"
# In the folder of a run: the files that went with its messages.
FILES = "files"


class LocalRecord(Value, frozen=True, kw_only=True):
    """`folder` is the working folder, `session` the agent's id of its session, empty before there was one.

    `task` is the id of the task that it works on. `client` is the id of its client of the local proxy while that has a
    key. `owner` names the account and project of the task. `worktree` is the id of the worktree that was made for it,
    `repository` what it was made from, `branch` its branch. `base` is the commit that the folder stood at when the run
    began, empty where that is not known. `mode` is what the agent may do without a question, empty for its own choice.
    `environment` is the file of the repository's environment, empty for the usual one, `NONE` of `environments.py` for
    none. `ended` is the status with which the person ended it, empty before. `left` is the status of a run that was not
    ended and that no process carries out; with `cut`, Burrow ended in the middle of its last turn. `created` and
    `ended_at` are in Unix seconds.
    """

    id: str
    agent: LocalAgent
    folder: str
    session: str = ""
    task: str = ""
    client: str = ""
    owner: str = ""
    title: str = ""
    worktree: str = ""
    repository: str = ""
    branch: str = ""
    base: str = ""
    mode: str = ""
    environment: str = ""
    created: float = 0.0
    ended: str = ""
    ended_at: float = 0.0
    left: str = ""
    cut: bool = False


def folder_of(data: Path, run: str) -> Path:
    """Where the files of a run are. `data` is the data folder."""
    return data / RUNS_FOLDER / run


def save_record(data: Path, record: LocalRecord) -> None:
    """Durable when it returns. Raises `OSError`. Call it in a thread."""
    folder = folder_of(data, record.id)
    make_private_folder(folder)
    replace_private(folder / RECORD, msgspec.json.encode(record).decode(), prefix=".run-")


def load_record(data: Path, run: str) -> LocalRecord:
    """One run. Raises `OSError`, `msgspec.MsgspecError`. Call it in a thread."""
    return msgspec.json.decode((folder_of(data, run) / RECORD).read_bytes(), type=LocalRecord)


def load_records(data: Path) -> Iterator[LocalRecord]:
    """The runs of a data folder; one that cannot be read is left out. Call it in a thread."""
    folder = data / RUNS_FOLDER
    for path in sorted(folder.glob(f"*/{RECORD}")) if folder.is_dir() else ():
        try:
            yield msgspec.json.decode(path.read_bytes(), type=LocalRecord)
        except (OSError, msgspec.MsgspecError) as failure:
            log.warning("the record of a run cannot be read: %s: %s", path, failure)
