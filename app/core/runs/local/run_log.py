"""RunLog: what is said in a run, as entries of the form that PostHog's logs have, in a file of JSON lines.

Listeners get each part of a text as it comes. The file has the whole texts only (docs/wire.md, "Run logs"). Credentials
are masked before either sees an entry.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from app.core.events import Event
from app.core.private import make_private_folder, open_private
from app.core.runs.local.masking import MaskedStream, is_large, masked, masked_message
from app.core.runs.log_entries import LogEntry, iterate_lines, read_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from io import FileIO
    from pathlib import Path

log = logging.getLogger(__name__)

UPDATE = "session/update"
# What is stored in the place of the parts of a text.
WHOLE = {"agent_message_chunk": "agent_message", "agent_thought_chunk": "agent_thought"}
# An incomplete word may be the beginning of a secret. It is shown when nothing follows for so long.
WORD_SECONDS = 0.4
MOST_UNWRITTEN = 16 * 1024 * 1024
CONSOLE = "_posthog/console"


class RunLog:
    """The log of one run. It belongs to the loop; the file is written in a thread, in order.

    `added` has entries as they are made; those that have `live` are parts of a text that follows as a whole.
    `trouble` is a sentence while the file cannot be written; it is told as an entry too. Nothing else fails then: what
    could not be written is tried again with what follows, 16 MB at most.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.added: Event[Sequence[LogEntry]] = Event()
        self.trouble = ""
        self._text: _Text | None = None
        self._lines: list[bytes] = []
        self._writing: asyncio.Task[None] | None = None
        # What is large is masked in a thread. What comes meanwhile waits, so that the order stays.
        self._masking: asyncio.Task[None] | None = None
        self._steps: deque[Callable[[], None]] = deque()

    def add(self, message: Mapping[str, object]) -> None:
        """Add a message of JSON-RPC, with the text that came before it."""
        self._take(lambda: self._add({"jsonrpc": "2.0", **message}))

    def notify(self, method: str, **params: object) -> None:
        """Add a notification of Burrow's own."""
        self.add({"method": method, "params": params})

    def update(self, params: Mapping[str, object]) -> None:
        """Add a `session/update` of the agent, whole or as a part of a text."""
        self._take(lambda: self._update(params))

    def end_text(self) -> None:
        """Store the text whose parts came last as a whole."""
        self._take(self._end_text)

    def stored(self) -> Iterator[LogEntry]:
        """The entries of the file. It reads the whole file, so call it in a thread. Raises `OSError`."""
        try:
            return iterate_lines(self.path.read_bytes())
        except FileNotFoundError:
            return iter(())

    async def flush(self) -> None:
        """Wait until all that was added is in the file."""
        while (busy := self._masking or self._writing) is not None:
            await asyncio.wait((busy,))

    async def close(self) -> None:
        """Store the rest."""
        self.end_text()
        await self.flush()
        if self._lines:
            self._begin_writing()
            await self.flush()

    def _take(self, step: Callable[[], None]) -> None:
        """Do what adds to the log, behind what is being masked in a thread."""
        if self._masking is not None:
            self._steps.append(step)
        else:
            step()

    def _add(self, message: dict[str, object]) -> None:
        self._end_text(then=message)

    def _update(self, params: Mapping[str, object]) -> None:
        found = _chunk(params.get("update"))
        if found is None:
            self._add({"jsonrpc": "2.0", "method": UPDATE, "params": _whole(params)})
            return
        kind, text, key = found
        if self._text is not None and self._text.key != key:
            self._end_text()
            if self._masking is not None:
                self._steps.append(lambda: self._update(params))
                return
        if self._text is None:
            self._text = _Text(key, kind, dict(params), datetime.now(UTC))
        self._text.parts.append(text)
        if is_large(text):
            self._text.stop_waiting()
            self._masking = asyncio.create_task(self._show_large(self._text, text), name="run log masks")
            return
        self._show(self._text.stream.feed(text))
        self._text.wait(self._show_rest)

    def _end_text(self, then: dict[str, object] | None = None) -> None:
        """Store the text whose parts came last, and `then`."""
        messages = [] if then is None else [(then, datetime.now(UTC))]
        text, self._text = self._text, None
        if text is not None:
            text.stop_waiting()
            messages.insert(0, (text.message(), text.began))
        if any(is_large(message) for message, _ in messages):
            self._masking = asyncio.create_task(self._mask(messages), name="run log masks")
            return
        for message, at in messages:
            self._store(masked_message(message), at)

    async def _mask(self, messages: list[tuple[dict[str, object], datetime]]) -> None:
        """Mask in a thread, then do what came meanwhile."""
        try:
            done = [(await asyncio.to_thread(masked_message, message), at) for message, at in messages]
            for message, at in done:
                self._store(message, at)
        finally:
            self._go_on()

    async def _show_large(self, text: _Text, part: str) -> None:
        """Mask a part of a text in a thread, then do what came meanwhile."""
        try:
            self._show(await asyncio.to_thread(text.stream.feed, part))
            text.wait(self._show_rest)
        finally:
            self._go_on()

    def _go_on(self) -> None:
        self._masking = None
        while self._steps and self._masking is None:
            self._steps.popleft()()

    def _show_rest(self) -> None:
        if self._text is not None:
            self._show(self._text.stream.flush())

    def _show(self, text: str) -> None:
        if not text or self._text is None:
            return
        self._emit(_line(self._text.live(text), datetime.now(UTC)), live=True)

    def _store(self, message: Mapping[str, object], at: datetime) -> None:
        line = _line(message, at)
        self._emit(line, live=False)
        self._lines.append(line + b"\n")
        self._begin_writing()

    def _begin_writing(self) -> None:
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="run log")

    def _emit(self, line: bytes, *, live: bool) -> None:
        entry = read_entry(line, live=live)
        if entry is not None:
            self.added.emit((entry,))

    async def _write(self) -> None:
        data = b""
        try:
            while self._lines:
                data, self._lines = b"".join(self._lines), []
                await asyncio.to_thread(_append, self.path, data)
                self.trouble = ""
        except OSError as failure:
            self._not_stored(data, failure)
        finally:
            self._writing = None

    def _not_stored(self, data: bytes, failure: OSError) -> None:
        """Keep what could not be written for the next time, and say so once."""
        self._lines.insert(0, data)
        words = f"The log of this run cannot be stored: {failure.strerror or failure}."
        if sum(map(len, self._lines)) > MOST_UNWRITTEN:
            self._lines.clear()
            words = f"{words} What was said before is stored in part only."
        if words != self.trouble:
            self.trouble = words
            log.warning("%s", words)
            params = {"level": "error", "message": words}
            self._emit(_line({"jsonrpc": "2.0", "method": CONSOLE, "params": params}, datetime.now(UTC)), live=True)


class _Text:
    """A text whose parts are coming."""

    def __init__(self, key: tuple[object, ...], kind: str, params: dict[str, object], began: datetime) -> None:
        update = params.pop("update")
        assert isinstance(update, dict)
        self.key, self.kind, self.params, self.began = key, kind, params, began
        self.update = {name: each for name, each in update.items() if name not in {"content", "sessionUpdate"}}
        self.parts: list[str] = []
        self.stream = MaskedStream()
        self._shown = masked({**self.params, "update": {**self.update, "sessionUpdate": kind}})
        self._timer: asyncio.TimerHandle | None = None

    def message(self) -> dict[str, object]:
        """The text as a whole, as an update."""
        content = {"type": "text", "text": "".join(self.parts)}
        update = {**self.update, "sessionUpdate": WHOLE[self.kind], "content": content}
        return {"jsonrpc": "2.0", "method": UPDATE, "params": {**self.params, "update": update}}

    def live(self, text: str) -> dict[str, object]:
        """A part of it that is masked already, as an update."""
        params = self._shown
        assert isinstance(params, dict)
        update = {**params["update"], "content": {"type": "text", "text": text}}
        return {"jsonrpc": "2.0", "method": UPDATE, "params": {**params, "update": update}}

    def wait(self, then: Callable[[], None]) -> None:
        """Call `then` when no further part comes for a moment."""
        self.stop_waiting()
        self._timer = asyncio.get_running_loop().call_later(WORD_SECONDS, then)

    def stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _chunk(update: object) -> tuple[str, str, tuple[object, ...]] | None:
    """Kind, text and identity of a part of a text; None for everything else."""
    if not isinstance(update, dict):
        return None
    kind, content = update.get("sessionUpdate"), update.get("content")
    if not isinstance(kind, str) or kind not in WHOLE or not isinstance(content, dict):
        return None
    text = content.get("text")
    if content.get("type") != "text" or not isinstance(text, str):
        return None
    return kind, text, (kind, update.get("messageId"), repr(update.get("_meta")))


def _whole(params: Mapping[str, object]) -> Mapping[str, object]:
    """A part of a message that is no text, such as a picture, as a message of its own: nothing is joined to it."""
    update = params.get("update")
    kind = update.get("sessionUpdate") if isinstance(update, dict) else None
    if not isinstance(update, dict) or not isinstance(kind, str) or kind not in WHOLE:
        return params
    return {**params, "update": {**update, "sessionUpdate": WHOLE[kind]}}


def _line(message: Mapping[str, object], at: datetime) -> bytes:
    return msgspec.json.encode({"type": "notification", "timestamp": at.isoformat(), "notification": message})


def _append(path: Path, data: bytes) -> None:
    make_private_folder(path.parent)

    def opener(name: str, flags: int) -> int:
        return open_private(name, flags | getattr(os, "O_NOFOLLOW", 0))

    # Without a buffer: nothing of it is written later than here.
    with open(path, "ab+", buffering=0, opener=opener) as file:
        size = file.seek(0, os.SEEK_END)
        # A process that was killed may have left a part of a line, which is not to spoil the next one.
        left = memoryview(b"\n" + data if size and _last_byte(file) != b"\n" else data)
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            # A part of it may be there, and all of it is written again.
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise


def _last_byte(file: FileIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)
