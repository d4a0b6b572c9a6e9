"""What a run's agent is told: the task, the files that came with it, and what an earlier run has said."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from app.workspace.tasks import run_rows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from app.workspace.runner.journal import JsonObject

MOST_HISTORY = 40_000
LONGEST_NAME_BYTES = 200
# What clients do not show of a prompt.
GO_ON = "Go on with the task."
HIDDEN = {"ui": {"hidden": True}}
EARLIER = (
    "This continues earlier work on the same task. What was said so far, oldest first, cut to the newest part:\n\n"
)


def text_block(text: str, *, hidden: bool = False) -> JsonObject:
    return {"type": "text", "text": text, **({"_meta": HIDDEN} if hidden else {})}


def file_blocks(paths: Iterable[Path]) -> list[JsonObject]:
    """Links to files, which the agent reads itself."""
    return [
        {"type": "resource_link", "uri": path.as_uri(), "name": path.name, "size": path.stat().st_size}
        for path in paths
    ]


def first_text(task: sqlite3.Row, pending: object, *, resumed: bool = False) -> str:
    """The first message of a run: the one it was started with, else the task, or to go on with it."""
    if isinstance(pending, str) and pending.strip():
        return pending
    if resumed:
        return GO_ON
    title, description = str(task["title"]), str(task["description"]).strip()
    # A title that was made of the description says nothing more.
    return description if description and description.startswith(title) else f"{title}\n\n{description}".strip()


def earlier_words(db: sqlite3.Connection, run: sqlite3.Row) -> str:
    """What was said in the runs that this one resumes, and in itself before it is carried on; empty without any."""
    said: list[str] = []
    for each in run_rows.with_ancestors(db, run):
        for entry in run_rows.log_entries(db, each["id"]):
            if _clears(entry):
                said = []
            elif words := _words(entry):
                said.append(words)
    whole = "\n\n".join(said)
    return EARLIER + whole[-MOST_HISTORY:] if whole else ""


def save_files(folder: Path, files: Sequence[sqlite3.Row]) -> list[Path]:
    """Write the files of a message into a folder, each under its own name. Blocks."""
    paths: list[Path] = []
    for file in files:
        # In a folder of its own, so that two files may have the same name.
        place = folder / file["id"]
        place.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[/\\\x00-\x1f]", "_", file["name"]).strip(". ") or "file"
        # A name of a file has at most 255 bytes.
        path = place / name.encode("utf-8", "replace")[:LONGEST_NAME_BYTES].decode("utf-8", "ignore")
        path.write_bytes(file["content"] or b"")
        paths.append(path)
    return paths


def named_files(db: sqlite3.Connection, ids: object) -> list[sqlite3.Row]:
    """The uploaded files with these ids, in their order."""
    wanted = json.dumps(ids if isinstance(ids, list) else [])
    query = "SELECT f.* FROM json_each(?) j JOIN staged_files f ON f.id = j.value ORDER BY j.key"
    return db.execute(query, (wanted,)).fetchall()


def _clears(entry: JsonObject) -> bool:
    match entry.get("notification"):
        case {"method": "_posthog/conversation_cleared" | "_posthog/clear_conversation"}:
            return True
        case _:
            return False


def _words(entry: JsonObject) -> str:
    match entry.get("notification"):
        case {"method": "session/prompt", "params": {"prompt": [*blocks]}}:
            shown = [each for each in blocks if isinstance(each, dict) and "_meta" not in each]
            return "Person: " + "\n".join(str(each.get("text") or each.get("name") or "") for each in shown)
        case {"params": {"update": {"sessionUpdate": "agent_message", "content": {"text": str(text)}}}}:
            return f"Agent: {text}"
        case _:
            return ""
