"""The permission requests of an agent that wait for a person (docs/wire.md, "Commands to a run")."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.workspace.tasks.run_control import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.workspace.runner.journal import JsonObject, RunJournal

INVALID_PARAMS = -32602
UNKNOWN_REQUEST = -32000
QUESTION = "question"


@dataclass
class _Open:
    options: tuple[str, ...]
    is_question: bool
    answer: asyncio.Future[JsonObject]


class OpenQuestions:
    """Those of one run. Each waits until it is answered or cancelled, however long that takes."""

    def __init__(self, run_id: str, journal: RunJournal) -> None:
        self._prefix = f"perm-{run_id[:8]}"
        self._journal = journal
        self._open: dict[str, _Open] = {}
        self._last = 0

    async def ask(self, params: JsonObject) -> JsonObject:
        """Handler of `session/request_permission`: its result."""
        self._last += 1
        request_id = f"{self._prefix}-{self._last}"
        call, options = params.get("toolCall"), params.get("options")
        given = [each for each in options if isinstance(each, dict)] if isinstance(options, list) else []
        names = tuple(str(each.get("optionId")) for each in given)
        match call:
            case {"_meta": {"codeToolKind": kind}}:
                is_question = kind == QUESTION
            case _:
                is_question = False
        waiting = _Open(names, is_question, asyncio.get_running_loop().create_future())
        self._open[request_id] = waiting
        self._journal.question(request_id, call, given)
        try:
            return await waiting.answer
        finally:
            # The agent gave the request up, or the run ends.
            if self._open.pop(request_id, None) is not None:
                self._journal.answered(request_id, outcome="cancelled")

    def answer(self, params: Mapping[str, object]) -> None:
        """Hand a person's answer to the agent. Raises `CommandFailed`."""
        request_id, option = str(params.get("requestId")), str(params.get("optionId"))
        waiting = self._open.get(request_id)
        if waiting is None:
            raise CommandFailed(UNKNOWN_REQUEST, f"No pending permission request found for id: {request_id}")
        # Questions are also answered in free text, with ids that no option has.
        if not waiting.is_question and option not in waiting.options:
            raise CommandFailed(INVALID_PARAMS, f"The request {request_id} has no option {option}.")
        del self._open[request_id]
        said = {name: params[name] for name in ("customInput", "answers") if params.get(name) is not None}
        self._journal.answered(request_id, optionId=option, **said)
        outcome = {"outcome": {"outcome": "selected", "optionId": option}}
        waiting.answer.set_result({**outcome, **({"_meta": said} if said else {})})

    def cancel(self) -> None:
        """Answer all of them with `cancelled`, as a client must when it cancels the turn."""
        for request_id, waiting in list(self._open.items()):
            del self._open[request_id]
            self._journal.answered(request_id, outcome="cancelled")
            if not waiting.answer.done():
                waiting.answer.set_result({"outcome": {"outcome": "cancelled"}})
