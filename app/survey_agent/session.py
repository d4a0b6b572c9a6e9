"""One session: its options, what was said in it, and where it is kept for a later process.

Sessions of a git repository are files in its git folder, so that they go with it and no file of the person's appears.
Those of other folders live in memory.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.survey_agent.git import run_git
from app.survey_agent.options import ADAPTERS, SessionOptions
from app.survey_agent.speech import Utterance

if TYPE_CHECKING:
    import asyncio

    from app.survey_agent.mcp import ToolServer

FOLDER = "survey-agent"
MOST_KEPT = 5000


@dataclass
class SurveySession:
    """A session. `store` is the file that it is kept in, None for a folder that is no repository."""

    id: str
    folder: Path
    options: SessionOptions
    servers: list[ToolServer] = field(default_factory=list)
    history: list[Utterance] = field(default_factory=list)
    said: int = 0
    """How many ids were given to messages and tool calls."""
    last_commit: str = ""
    always_allowed: bool = False
    store: Path | None = None
    turn: asyncio.Task[str] | None = None
    """The turn under way; its result is the stop reason."""
    work: asyncio.Task[str] | None = None
    """What can be stopped of it."""
    steering: list[str] = field(default_factory=list)
    """What was said during the turn and not taken up yet."""

    @property
    def running(self) -> bool:
        return self.turn is not None and not self.turn.done()

    def remember(self, said: Utterance) -> None:
        """Keep an utterance. What is said again of a tool call is added to what was said of it before."""
        if said.kind == "plan":
            self.history = [each for each in self.history if each.kind != "plan"]
        earlier = next(
            (place for place, each in enumerate(self.history) if each.kind == "tool" and each.id == said.id), None
        )
        if said.kind == "tool" and earlier is not None:
            before = self.history[earlier]
            self.history[earlier] = replace(before, fields={**before.fields, **said.fields})
        else:
            self.history.append(said)
        del self.history[:-MOST_KEPT]

    def save(self) -> None:
        """Keep the session for a later process. Blocks; a disk that refuses costs the session, not the turn."""
        if self.store is None:
            return
        kept = {
            "options": asdict(self.options),
            "history": [asdict(each) for each in self.history],
            "said": self.said,
            "last_commit": self.last_commit,
        }
        beside = self.store.with_suffix(f".{os.getpid()}")
        try:
            self.store.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(kept), "utf-8")
            beside.replace(self.store)
        except OSError:
            beside.unlink(missing_ok=True)


async def new_session(folder: Path, options: SessionOptions, servers: list[ToolServer]) -> SurveySession:
    """A session that was not there before."""
    session_id = f"survey-{secrets.token_hex(8)}"
    place = await _place(folder)
    return SurveySession(session_id, folder, options, servers, store=None if place is None else place / session_id)


async def kept_session(session_id: str, folder: Path, servers: list[ToolServer]) -> SurveySession | None:
    """The session of an earlier process; None for one that is not known in this folder."""
    place = await _place(folder)
    if place is None or not session_id.replace("-", "").isalnum():
        return None
    store = place / session_id
    try:
        kept = json.loads(store.read_text("utf-8"))
        options = SessionOptions(**kept["options"])
        history = [Utterance(**each) for each in kept["history"]]
        said, last_commit = int(kept["said"]), str(kept["last_commit"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if options.adapter not in ADAPTERS:
        return None
    return SurveySession(session_id, folder, options, servers, history, said, last_commit, store=store)


async def kept_ids(folder: Path) -> list[str]:
    """The ids of the sessions that are kept in a folder, the newest first."""
    place = await _place(folder)
    if place is None or not place.is_dir():
        return []
    found = [each for each in place.iterdir() if each.name.startswith("survey-") and not each.suffix]
    return [each.name for each in sorted(found, key=lambda each: each.stat().st_mtime, reverse=True)]


async def _place(folder: Path) -> Path | None:
    shown = await run_git(folder, "rev-parse", "--absolute-git-dir")
    return None if shown.code or not shown.lines else Path(shown.lines[0]) / FOLDER
