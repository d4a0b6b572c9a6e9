"""Terminals that a tool call shows: their output in the log, in the place of their ids.

https://agentclientprotocol.com/protocol/terminals, "Embedding in Tool Calls". The id of a terminal says nothing once
the run is over, so the log has the output: from time to time while the command runs, and when it has ended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.core.runs.local.terminals import Terminals

SHOW_SECONDS = 0.5

Members = dict[str, object]


class EmbeddedTerminals:
    """`show` is given the parameters of a `session/update` for each tool call whose output has changed."""

    def __init__(self, terminals: Terminals, show: Callable[[Members], None]) -> None:
        self._terminals = terminals
        self._show = show
        # What each tool call showed last, by the terminal in it.
        self._calls: dict[str, Members] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        terminals.changed = self._changed

    def shown(self, params: Members) -> Members:
        """The update with the output of the terminals in it."""
        update = params.get("update")
        content = update.get("content") if isinstance(update, dict) else None
        if not isinstance(update, dict) or not isinstance(content, list) or not any(map(_terminal_of, content)):
            return params
        for each in content:
            name = _terminal_of(each)
            if name:
                self._calls[name] = params
        return self._with_output(params, update, content)

    def end(self) -> None:
        """The terminals are gone."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._calls.clear()

    def _changed(self, terminal: str, over: bool) -> None:
        if terminal not in self._calls:
            return
        timer = self._timers.get(terminal)
        if over:
            if timer is not None:
                timer.cancel()
            self._tell(terminal)
        elif timer is None:
            self._timers[terminal] = asyncio.get_running_loop().call_later(SHOW_SECONDS, self._tell, terminal)

    def _tell(self, terminal: str) -> None:
        self._timers.pop(terminal, None)
        params = self._calls[terminal]
        update = params["update"]
        assert isinstance(update, dict)
        content = update["content"]
        assert isinstance(content, list)
        # Only the content: title and status may have changed since.
        changed = {"sessionUpdate": "tool_call_update", "toolCallId": update.get("toolCallId")}
        self._show(self._with_output(params, changed, content))

    def _with_output(self, params: Mapping[str, object], update: Members, content: list[object]) -> Members:
        return {**params, "update": {**update, "content": [self._output_of(each) for each in content]}}

    def _output_of(self, content: object) -> object:
        name = _terminal_of(content)
        if not name:
            return content
        text = self._terminals.shown(name)
        return {"type": "content", "content": {"type": "text", "text": text if text is not None else ""}}


def _terminal_of(content: object) -> str:
    """The id of the terminal that a tool call's content is, empty for other content."""
    if not isinstance(content, dict) or content.get("type") != "terminal":
        return ""
    return str(content.get("terminalId") or "")
