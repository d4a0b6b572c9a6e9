"""Questions: what the agent, or Burrow on its behalf, asks the person and waits for (`session/request_permission`).

https://agentclientprotocol.com/protocol/tool-calls, "Requesting Permission"
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from app.core.errors import Facts, NotFound, Rejected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from app.core.runs.local.run_log import RunLog

PERMISSION = "session/request_permission"
CANCELLED_OUTCOME: Mapping[str, object] = {"outcome": {"outcome": "cancelled"}}
ALLOWING = frozenset({"allow_once", "allow_always"})


class Questions:
    """The open questions of a run. Each is in the log when it is asked and when it is answered.

    While `closed`, as after the person stopped a turn, a new question is answered with `cancelled` at once.
    """

    def __init__(self, log: RunLog) -> None:
        self.closed = False
        self._log = log
        self._open: dict[str, tuple[Mapping[str, str], asyncio.Future[Mapping[str, object]]]] = {}

    @property
    def open(self) -> tuple[str, ...]:
        """The ids of the questions that wait, the oldest first."""
        return tuple(self._open)

    def ask(self, params: Mapping[str, object]) -> Awaitable[Mapping[str, object]]:
        """Ask at once, and return what awaits the outcome. Who gives up waiting takes the question back."""
        # The agent's own ids begin anew with each process, and the log is one.
        name = f"permission-{secrets.token_hex(6)}"
        self._log.add({"id": name, "method": PERMISSION, "params": params})
        if self.closed:
            self._log.add({"id": name, "result": CANCELLED_OUTCOME})
            return _at_once(CANCELLED_OUTCOME)
        answer: asyncio.Future[Mapping[str, object]] = asyncio.get_running_loop().create_future()
        self._open[name] = (_kinds(params), answer)
        return self._wait(name, answer)

    def answer(self, name: str, option: str, *, text: str = "", answers: Mapping[str, str] | None = None) -> str:
        """Answer with one of its options. `text` is what the person wrote with it, `answers` those to questions.

        Returns the kind of the option. Raises `NotFound` for a question that is over, `Rejected` for an option that it
        does not have.
        """
        if name not in self._open:
            raise NotFound("This question is answered already, or its turn has ended.")
        kinds, _ = self._open[name]
        if option not in kinds and not answers:
            raise Rejected("The question has no such answer.", Facts(attr="option"))
        outcome: dict[str, object] = {"outcome": {"outcome": "selected", "optionId": option}}
        meta = ({"customInput": text} if text else {}) | ({"answers": dict(answers)} if answers else {})
        self._settle(name, outcome | ({"_meta": meta} if meta else {}))
        return kinds.get(option, "")

    def cancel_all(self) -> None:
        """Answer each open question with `cancelled`."""
        for name in self.open:
            self._settle(name, CANCELLED_OUTCOME)

    def _settle(self, name: str, outcome: Mapping[str, object]) -> None:
        _, answer = self._open.pop(name)
        self._log.add({"id": name, "result": outcome})
        if not answer.done():
            answer.set_result(outcome)

    async def _wait(self, name: str, answer: asyncio.Future[Mapping[str, object]]) -> Mapping[str, object]:
        try:
            return await answer
        finally:
            if name in self._open:
                self._settle(name, CANCELLED_OUTCOME)


async def _at_once(outcome: Mapping[str, object]) -> Mapping[str, object]:
    return outcome


def _kinds(params: Mapping[str, object]) -> dict[str, str]:
    options = params.get("options")
    return {
        str(each.get("optionId")): str(each.get("kind") or "")
        for each in (options if isinstance(options, list) else ())
        if isinstance(each, dict)
    }
