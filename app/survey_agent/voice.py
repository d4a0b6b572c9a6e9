"""How a turn speaks to the client: it says, shows tool calls, asks, and writes files."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.survey_agent.speech import Utterance, permission_params, plan_entries, text_content, updates_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from app.acp.peer import Peer
    from app.survey_agent.session import SurveySession

Options = tuple[tuple[str, str, str], ...]
"""Of each choice the id, the name and the kind."""
CONTEXT_WINDOW = 200_000
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Decided:
    """What the person chose. `option` is empty when the question was cancelled."""

    option: str
    feedback: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Card:
    """A tool call that is being carried out: what to show when it is over."""

    id: str
    content: list[dict[str, object]] = field(default_factory=list)
    output: object = None
    failed: bool = False

    def show(self, text: str) -> None:
        self.content.append(text_content(text))


class Voice:
    """Speaks in one session. `writes_for_client`: the client wants to write the files itself (revision 1)."""

    def __init__(self, peer: Peer, session: SurveySession, version: int, *, writes_for_client: bool) -> None:
        self._peer = peer
        self._session = session
        self._version = version
        self._writes_for_client = writes_for_client

    async def say(self, text: str) -> None:
        await self._utter(Utterance("agent", self._next("message"), text))

    async def think(self, text: str) -> None:
        await self._utter(Utterance("thought", self._next("thought"), text))

    async def repeat_prompt(self, text: str) -> None:
        """Note what the person said. Clients of revision 2 are told where it stands in the session."""
        said = Utterance("user", self._next("user"), text)
        self._session.remember(said)
        if self._version >= 2:
            await self._send(said)

    async def plan(self, steps: Sequence[str], done: int, *, active: bool = True) -> None:
        await self._utter(Utterance("plan", "plan", fields={"entries": plan_entries(steps, done, active=active)}))

    @asynccontextmanager
    async def card(self, kind: str, title: str, **fields: object) -> AsyncIterator[Card]:
        """A tool call around what is done inside. It fails when that raises, or when the turn is cancelled."""
        card = Card(self._next("call"))
        begun = {"title": title, "kind": kind, "status": "in_progress", **fields}
        await self._utter(Utterance("tool", card.id, fields=begun, first=True))
        try:
            yield card
        except asyncio.CancelledError:
            await self._end(card, "failed", [*card.content, text_content("Stopped.")])
            raise
        except Exception as failure:
            await self._end(card, "failed", [*card.content, text_content(str(failure))])
            raise
        await self._end(card, "failed" if card.failed else "completed", card.content)

    async def ask(self, card: Card, title: str, options: Options, **fields: object) -> Decided:
        """Ask the person about a tool call that was announced. A refusal may say why."""
        choices: list[dict[str, object]] = [
            {
                "optionId": option,
                "name": name,
                "kind": kind,
                **({"_meta": {"customInput": True}} if kind.startswith("reject") else {}),
            }
            for option, name, kind in options
        ]
        params = permission_params(self._version, title, {"toolCallId": card.id, **fields}, choices)
        await self.state("requires_action")
        answer = await self._peer.request("session/request_permission", {"sessionId": self._session.id, **params})
        await self.state("running")
        outcome, meta = answer.get("outcome"), answer.get("_meta")
        if not isinstance(outcome, dict) or outcome.get("outcome") != "selected":
            return Decided("")
        said = meta if isinstance(meta, dict) else {}
        answers = said.get("answers")
        return Decided(
            str(outcome.get("optionId", "")),
            str(said.get("customInput") or ""),
            {str(name): str(value) for name, value in answers.items()} if isinstance(answers, dict) else {},
        )

    async def options_changed(self) -> None:
        """The agent itself has changed an option."""
        options = self._session.options
        if self._version < 2:
            await self._update({"sessionUpdate": "current_mode_update", "currentModeId": options.mode})
        shown = options.as_config(self._version)
        await self._update({"sessionUpdate": "config_option_update", "configOptions": shown})

    async def state(self, state: str, stop_reason: str = "") -> None:
        """Say what the session does; revision 1 has no words for it."""
        if self._version >= 2:
            reason = {"stopReason": stop_reason} if stop_reason else {}
            await self._update({"sessionUpdate": "state_update", "state": state, **reason})

    async def usage(self) -> dict[str, int]:
        """Tell how much of the context is used, about one token for four characters, and return it for the answer.

        What is returned are sums over the session, as the protocol has it.
        """
        heard = sum(len(each.text) for each in self._session.history if each.kind == "user") // CHARACTERS_PER_TOKEN
        said = sum(_length(each) for each in self._session.history if each.kind != "user") // CHARACTERS_PER_TOKEN
        await self._update({"sessionUpdate": "usage_update", "used": heard + said, "size": CONTEXT_WINDOW})
        return {"totalTokens": heard + said, "inputTokens": heard, "outputTokens": said}

    async def write_file(self, path: Path, text: str) -> None:
        """Write a file, through the client where it wants that. Raises `RpcError` and OSError."""
        if self._writes_for_client:
            params = {"sessionId": self._session.id, "path": str(path), "content": text}
            await self._peer.request("fs/write_text_file", params)
        else:
            await asyncio.to_thread(path.write_text, text, "utf-8", newline="\n")

    async def replay(self) -> None:
        """Tell the whole history of the session."""
        for said in tuple(self._session.history):
            for update in updates_of(said, self._version, pieces=False):
                await self._update(update)

    async def _end(self, card: Card, status: str, content: list[dict[str, object]]) -> None:
        fields: dict[str, object] = {"status": status, "content": content}
        if card.output is not None:
            fields["rawOutput"] = card.output
        await self._utter(Utterance("tool", card.id, fields=fields))

    async def _utter(self, said: Utterance) -> None:
        self._session.remember(said)
        await self._send(said)

    async def _send(self, said: Utterance) -> None:
        for update in updates_of(said, self._version):
            await self._update(update)

    async def _update(self, update: Mapping[str, object]) -> None:
        await self._peer.notify("session/update", {"sessionId": self._session.id, "update": update})

    def _next(self, kind: str) -> str:
        # With a part of the session's id: the logs of several sessions are read as one when a run resumes another.
        self._session.said += 1
        return f"{kind}-{self._session.id[-6:]}-{self._session.said}"


def _length(said: Utterance) -> int:
    return len(said.text) + sum(len(str(value)) for value in said.fields.values())
