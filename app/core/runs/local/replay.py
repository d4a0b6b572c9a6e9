"""What an agent says again when an earlier session is loaded, compared with what is stored of it.

Agents give what they replay other ids, or none, and divide it in other ways. So what is compared is the text of each
prompt and all that was said in answer to it, in their order. What is stored stays as it is; what it lacks at the end,
because the session went on elsewhere, is added.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import suppress
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.core.runs.local.run_log import UPDATE, WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.core.runs.log_entries import LogEntry

PROMPT = "session/prompt"
USER_CHUNK = "user_message_chunk"
_KINDS = {**{kind: kind for kind in WHOLE.values()}, **WHOLE, USER_CHUNK: "prompt"}
MESSAGE = "agent_message"
COMPARED = frozenset({"prompt", MESSAGE})
QUIET_SECONDS, MOST_SECONDS = 0.3, 10.0
_SPACE = re.compile(r"\s+")

# Of two conversations that differ, so many of the last texts are compared.
MOST_COMPARED = 300

Members = dict[str, object]
Text = tuple[str, str]


class Replay:
    """Collects the updates of a session that is being loaded."""

    def __init__(self) -> None:
        self._updates: list[Members] = []
        self._news = asyncio.Event()

    def add(self, params: Members) -> None:
        """An update arrived while the session was being loaded."""
        self._updates.append(params)
        self._news.set()

    async def settled(self, stored: Iterable[LogEntry]) -> None:
        """Return when the repetition is over: some agents answer that the session is loaded, and then repeat it.

        That is when all of what is stored was repeated, else when nothing came for a while.
        """
        known, said = Counter(_identities(stored)), Counter(filter(None, map(_identity, _joined(self._updates))))
        if not known - said:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(MOST_SECONDS):
                while True:
                    self._news.clear()
                    async with asyncio.timeout(QUIET_SECONDS):
                        await self._news.wait()

    @property
    def empty(self) -> bool:
        """Whether the agent said nothing of what was said before."""
        return not any(_identity(each) for each in self._updates)

    def missing(self, stored: Iterable[LogEntry]) -> list[Members]:
        """The messages that are to be added to what is stored: those after the last that is known.

        Without anything stored the replay is all that there is.
        """
        said = list(_joined(self._updates))
        known, parts = _parts(_identities(stored)), _parts(map(_identity, said))
        after = parts[_known_of([each.text for each in parts], [each.text for each in known]) :]
        return [_message(said[index], index) for index in range(after[0].begin, len(said))] if after else []


class _Part(NamedTuple):
    """A prompt, or all that was said after it: its kind and its text without space, and where it begins."""

    text: Text
    begin: int


def history_text(stored: Iterable[LogEntry], most: int) -> str:
    """The end of a conversation as text, for an agent that is to go on with it without having led it."""
    lines = []
    for kind, text in _identities(stored):
        if kind in COMPARED:
            lines.append(f"{'User' if kind == 'prompt' else 'Agent'}: {text}")
    whole = "\n\n".join(lines)
    return whole if len(whole) <= most else f"…{whole[-most:]}"


def has_prompts(stored: Iterable[LogEntry]) -> bool:
    """Whether anything was said to the agent."""
    return any(each.message.method == PROMPT for each in stored)


def _known_of(said: list[Text], known: list[Text]) -> int:
    """How many of the texts that were said again are known: all up to the last that is. All where none is.

    Then it is another conversation, or one in other words, and what is stored is what the person knows.
    """
    same = next((at for at, (one, other) in enumerate(zip(said, known, strict=False)) if one != other), None)
    if same is None:
        return min(len(said), len(known))
    first, last = max(same, len(known) - MOST_COMPARED), max(same, len(said) - MOST_COMPARED)
    *blocks, _ = SequenceMatcher(None, known[first:], said[last:], autojunk=False).get_matching_blocks()
    if not blocks and not same:
        return len(said)
    ours, theirs = (same, same) if not blocks else (first + blocks[-1].a, last + blocks[-1].b)
    size = blocks[-1].size if blocks else 0
    rest, answer = known[ours + size : ours + size + 1], said[theirs + size : theirs + size + 1]
    # The same answer in other words is known; one that goes on where the stored one was cut off is not.
    known_answer = rest and answer and rest[0][0] == answer[0][0] == MESSAGE and not answer[0][1].startswith(rest[0][1])
    return theirs + size + bool(known_answer)


def _parts(identities: Iterable[tuple[str, str] | None]) -> list[_Part]:
    found: list[_Part] = []
    for index, identity in enumerate(identities):
        if identity is None or identity[0] not in COMPARED:
            continue
        kind, text = identity[0], _SPACE.sub("", identity[1])
        if found and kind == MESSAGE == found[-1].text[0]:
            found[-1] = _Part((kind, found[-1].text[1] + text), found[-1].begin)
        else:
            found.append(_Part((kind, text), index))
    return found


def _joined(updates: Iterable[Members]) -> Iterator[Members]:
    """The updates with the parts of a text put together."""
    held: Members | None = None
    for params in updates:
        update = params.get("update")
        members: Members = update if isinstance(update, dict) else {}
        kind, text = str(members.get("sessionUpdate")), _text(members)
        if held is not None and kind in _KINDS and text is not None:
            former = held["update"]
            assert isinstance(former, dict)
            if (former["sessionUpdate"], former.get("messageId")) == (kind, members.get("messageId")):
                joined = {**former, "content": {"type": "text", "text": f"{_text(former)}{text}"}}
                held = {**held, "update": joined}
                continue
        if held is not None:
            yield held
        held = None
        if kind in _KINDS and text is not None:
            held = {**params, "update": members}
        else:
            yield params
    if held is not None:
        yield held


def _message(params: Members, index: int) -> Members:
    """A replayed update as an entry of the log: what the person said is a prompt."""
    update = params.get("update")
    members: Members = update if isinstance(update, dict) else {}
    kind = members.get("sessionUpdate")
    if kind == USER_CHUNK:
        prompt = {"sessionId": params.get("sessionId"), "prompt": [members.get("content")]}
        return {"id": f"replayed-{index}", "method": PROMPT, "params": prompt}
    whole = WHOLE.get(str(kind), kind)
    return {"method": UPDATE, "params": {**params, "update": {**members, "sessionUpdate": whole}}}


def _identities(stored: Iterable[LogEntry]) -> Iterator[tuple[str, str]]:
    for entry in stored:
        method = entry.message.method
        if method not in {PROMPT, UPDATE} or not entry.message.params:
            continue
        try:
            params = msgspec.json.decode(entry.message.params)
        except msgspec.DecodeError:
            continue
        if method == PROMPT:
            blocks = params.get("prompt") if isinstance(params, dict) else None
            shown = [each for each in (blocks if isinstance(blocks, list) else ()) if isinstance(each, dict)]
            text = "".join(
                str(each["text"]) for each in shown if isinstance(each.get("text"), str) and not _hidden(each)
            )
            yield ("prompt", _SPACE.sub(" ", text).strip())
        elif (identity := _identity(params)) is not None:
            yield identity


def _identity(params: object) -> tuple[str, str] | None:
    """What makes an update the same one, whatever its ids: its text, or its tool call."""
    update = params.get("update") if isinstance(params, dict) else None
    if not isinstance(update, dict):
        return None
    kind, text = str(update.get("sessionUpdate")), _text(update)
    if kind in _KINDS and text is not None:
        return (_KINDS[kind], _SPACE.sub(" ", text).strip())
    if kind == "tool_call":
        return ("tool_call", str(update.get("toolCallId")))
    return None


def _text(update: Members) -> str | None:
    content = update.get("content")
    text = content.get("text") if isinstance(content, dict) else None
    return text if isinstance(text, str) else None


def _hidden(block: Members) -> bool:
    meta = block.get("_meta")
    return isinstance(meta, dict) and "ui" in meta
