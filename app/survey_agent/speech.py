"""What the agent says in a session, in the words of the negotiated revision of the protocol.

An `Utterance` is neutral; `updates_of` makes the `session/update` payloads of it. Sessions keep their utterances, so
the same function tells a client the history of a session that it loads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PIECE_CHARACTERS = 400
Kind = Literal["user", "agent", "thought", "plan", "tool"]
NAMES: dict[str, str] = {"user": "user_message", "agent": "agent_message", "thought": "agent_thought"}
PLAN_ID = "plan-1"


@dataclass(frozen=True)
class Utterance:
    """One thing said: a text, the whole plan, or what changed of a tool call.

    `id` is that of the message or the tool call. `fields` are the members of a tool call or the entries of a plan;
    `first` is true for the first utterance about a tool call.
    """

    kind: Kind
    id: str
    text: str = ""
    fields: dict[str, object] = field(default_factory=dict)
    first: bool = False


def updates_of(said: Utterance, version: int, *, pieces: bool = True) -> Iterator[dict[str, object]]:
    """The payloads of `session/update`. A text is sent in pieces, as models write, or at once."""
    if said.kind == "plan":
        entries = said.fields["entries"]
        if version < 2:
            yield {"sessionUpdate": "plan", "entries": entries}
        else:
            yield {"sessionUpdate": "plan_update", "plan": {"type": "items", "planId": PLAN_ID, "entries": entries}}
    elif said.kind == "tool":
        name = "tool_call" if said.first and version < 2 else "tool_call_update"
        yield {"sessionUpdate": name, "toolCallId": said.id, **_tool(said.fields, version)}
    elif said.kind == "user" and version >= 2:
        yield {"sessionUpdate": "user_message", "messageId": said.id, "content": [_text(said.text)]}
    else:
        number = {} if version < 2 else {"messageId": said.id}
        for piece in pieces_of(said.text) if pieces else (said.text,):
            yield {"sessionUpdate": f"{NAMES[said.kind]}_chunk", **number, "content": _text(piece)}


def pieces_of(text: str) -> list[str]:
    """A text in pieces that end with a sentence or a line; a very long line is one piece."""
    pieces: list[str] = []
    for part in re.findall(r".+?(?:[.!?]\s+|\n+|$)", text, re.DOTALL):
        if pieces and len(pieces[-1]) + len(part) <= PIECE_CHARACTERS and "\n" not in pieces[-1]:
            pieces[-1] += part
        else:
            pieces.append(part)
    return pieces or [text]


def permission_params(
    version: int, title: str, tool: dict[str, object], options: Sequence[dict[str, object]], description: str = ""
) -> dict[str, object]:
    """The parameters of `session/request_permission`, but for the session."""
    shown = _tool(tool, version)
    if version < 2:
        return {"toolCall": {"title": title, **shown}, "options": list(options)}
    told = {"description": description} if description else {}
    return {
        "title": title,
        **told,
        "subject": {"type": "tool_call", "toolCall": shown},
        "options": list(options),
    }


def text_content(text: str) -> dict[str, object]:
    """A text among the contents of a tool call."""
    return {"type": "content", "content": _text(text)}


def diff_content(path: str, old: str | None, new: str, patch: str) -> dict[str, object]:
    """The change of a file among the contents of a tool call, as both revisions need it; `_tool` picks."""
    return {"type": "diff", "path": path, "oldText": old, "newText": new, "patch": patch}


def _tool(fields: dict[str, object], version: int) -> dict[str, object]:
    contents = fields.get("content")
    if not isinstance(contents, list):
        return fields
    return {**fields, "content": [_content(each, version) for each in contents]}


def _content(content: dict[str, object], version: int) -> dict[str, object]:
    if content.get("type") != "diff":
        return content
    if version < 2:
        return {name: value for name, value in content.items() if name != "patch"}
    operation = "add" if content["oldText"] is None else "modify"
    change = {"operation": operation, "path": content["path"], "fileType": "text"}
    return {"type": "diff", "changes": [change], "patch": {"format": "git_patch", "diff": content["patch"]}}


def _text(text: str) -> dict[str, object]:
    return {"type": "text", "text": text}


def plan_entries(steps: Sequence[str], done: int, *, active: bool) -> list[dict[str, object]]:
    """The entries of a plan of which the first `done` are over; the next one is under way if `active`."""
    return [
        {
            "content": step,
            "priority": "medium",
            "status": "completed" if number < done else "in_progress" if active and number == done else "pending",
        }
        for number, step in enumerate(steps)
    ]
