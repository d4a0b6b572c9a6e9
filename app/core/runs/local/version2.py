"""Version 2 of the protocol in the words of version 1, which logs and transcript have.

https://agentclientprotocol.com/protocol/v2/migration, as of `schema-v2.0.0-alpha.17`. Version 2 is a draft
(`versions.py`).
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from app.core.runs.local.facts import options_with_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Members = dict[str, object]
# A whole message in version 2, and the part of a text that says the same in version 1.
_MESSAGES = {"agent_message": "agent_message_chunk", "agent_thought": "agent_thought_chunk"}
KEPT_MESSAGES = 8
# What version 1 does not have, and what it has for it.
_STATUSES = {"paused": "in_progress", "cancelled": "failed"}


class Version2:
    """Translates the updates of one session. What arrives in parts is put together."""

    def __init__(self) -> None:
        self._content: dict[str, list[object]] = {}
        self._terminals: dict[str, bytearray] = {}
        self._seen: set[str] = set()
        # The parts of the last messages, by their ids.
        self._said: dict[str, list[str]] = {}

    def updates(self, update: Members) -> Iterator[Members]:
        """The updates that say the same in version 1. A kind that is not known stays as it is."""
        kind = str(update.get("sessionUpdate"))
        if kind in {"user_message", "user_message_chunk", "state_update"}:
            # The prompt is in the log already, and the state is the session's.
            return
        if kind in _MESSAGES:
            yield from self._message(update)
        elif kind in _MESSAGES.values():
            self._parts(update).append(_text(update.get("content")))
            yield update
        elif kind == "tool_call_update":
            yield from self._call(update)
        elif kind == "tool_call_content_chunk":
            name = str(update.get("toolCallId"))
            self._content.setdefault(name, []).append(update.get("content"))
            yield {"sessionUpdate": "tool_call_update", "toolCallId": name, "content": list(self._content[name])}
        elif kind == "plan_update":
            plan = update.get("plan")
            yield {"sessionUpdate": "plan", "entries": plan.get("entries") if isinstance(plan, dict) else []}
        elif kind == "terminal_output_chunk":
            self._terminals.setdefault(str(update.get("terminalId")), bytearray()).extend(_bytes(update.get("data")))
        elif kind == "terminal_update":
            if "output" in update:
                output = update["output"]
                data = output.get("data") if isinstance(output, dict) else output
                self._terminals[str(update.get("terminalId"))] = bytearray(_bytes(data))
        elif kind == "config_option_update" and isinstance(update.get("configOptions"), list):
            yield {**update, "configOptions": options_with_id(_list(update["configOptions"]))}
        else:
            yield update

    def _message(self, update: Members) -> Iterator[Members]:
        """A whole message as the part of it that was not said yet. Its text may have come in parts before."""
        blocks = _list(update.get("content"))
        parts, text = self._parts(update), "".join(map(_text, blocks))
        before, kind = "".join(parts), _MESSAGES[str(update["sessionUpdate"])]
        if before and text.startswith(before):
            rest = text[len(before) :]
            blocks = [{"type": "text", "text": rest}] if rest else []
        parts[:] = [text]
        for block in blocks:
            yield {**update, "sessionUpdate": kind, "content": block}

    def _parts(self, update: Members) -> list[str]:
        """What was said of a message until now. Of those before the last few nothing follows."""
        name = str(update.get("messageId"))
        parts = self._said.pop(name, [])
        self._said[name] = parts
        if len(self._said) > KEPT_MESSAGES:
            del self._said[next(iter(self._said))]
        return parts

    def _call(self, update: Members) -> Iterator[Members]:
        name = str(update.get("toolCallId"))
        changed = dict(update)
        if isinstance(status := update.get("status"), str) and status in _STATUSES:
            changed["status"] = _STATUSES[status]
        content = update.get("content")
        if isinstance(content, list):
            changed["content"] = self._content[name] = [self._shown(each) for each in content]
        first = name not in self._seen
        self._seen.add(name)
        yield {**changed, "sessionUpdate": "tool_call"} if first else changed

    def _shown(self, content: object) -> object:
        """A terminal of the agent as its output, a structured change as a difference."""
        if not isinstance(content, dict):
            return content
        if content.get("type") == "terminal":
            output = bytes(self._terminals.get(str(content.get("terminalId")), b"")).decode("utf-8", "replace")
            return {"type": "content", "content": {"type": "text", "text": output}}
        if content.get("type") == "diff" and isinstance(content.get("changes"), list):
            patch = content.get("patch")
            text = patch.get("text") if isinstance(patch, dict) else patch
            return {"type": "content", "content": {"type": "text", "text": text if isinstance(text, str) else ""}}
        return content


def permission(params: Mapping[str, object]) -> dict[str, object]:
    """The parameters of `session/request_permission` in version 1's form."""
    subject = params.get("subject")
    call = subject.get("toolCall") if isinstance(subject, dict) else None
    members: Members = dict(call) if isinstance(call, dict) else {}
    if isinstance(subject, dict) and subject.get("type") == "command":
        words = {name: subject[name] for name in ("command", "cwd") if subject.get(name) is not None}
        members = {"toolCallId": subject.get("toolCallId") or "", "kind": "execute", "rawInput": words}
    members.setdefault("toolCallId", "")
    if isinstance(params.get("title"), str):
        members["title"] = params["title"]
    if isinstance(params.get("description"), str):
        text = {"type": "content", "content": {"type": "text", "text": params["description"]}}
        members["content"] = [text, *(each for each in _list(members.get("content")))]
    return {name: each for name, each in params.items() if name not in {"subject", "title", "description"}} | {
        "toolCall": members
    }


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(block: object) -> str:
    text = block.get("text") if isinstance(block, dict) else None
    return text if isinstance(text, str) else ""


def _bytes(data: object) -> bytes:
    try:
        return base64.b64decode(data) if isinstance(data, str) else b""
    except (binascii.Error, ValueError):
        return b""
