"""Overlap: what a stream says that a stored log has already.

A stream is opened first and the log read then, so the log's end may repeat the stream's beginning. Neither has ids that
the other one knows, the times differ, and what the stream mostly sends in chunks is one message of the log
(docs/wire.md, "Run logs"). But both have the same order. So the stream is laid over the log wherever it fits, and is
new from where it leaves the log.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.core.runs.contents import block_text
from app.core.runs.log_entries import REQUEST_PERMISSION, UNREADABLE
from app.core.runs.update_params import MessageChunk, WholeMessage, update_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from app.core.runs.log_entries import LogEntry

UPDATE = "session/update"
# As many of the last entries of a log are compared.
COMPARED = 2_000
# So many entries that one of both lacks do not end the comparison.
TOLERANCE = 4
CONVINCING = 3
# So many ways are followed. A piece of one letter fits nearly everywhere, and it is the end of the log that counts.
MOST_FITS = 5_000


class _Fit(NamedTuple):
    """One way how the stream fits: the log's entry that comes next, and how much of it, a message, has come."""

    place: int
    offset: int = 0


class _Stored(NamedTuple):
    """An entry of the log: a message with its text, or what identifies another one."""

    text: str | None
    identity: object


class _Sent(NamedTuple):
    """An entry of the stream: a piece of a message, a whole message, or what identifies another one."""

    piece: str | None
    whole: str | None
    identity: object


class Overlap:
    """The end of a log, to be compared with a stream entry by entry. `done` when the stream has left it."""

    def __init__(self, stored: Iterable[LogEntry]) -> None:
        self.done = False
        self._stored = [_stored(entry) for entry in stored if not _only_streamed(entry)]
        self._fits: set[_Fit] = set()
        self._skipped: list[object] = []
        # What fits so far, and may turn out to be new all the same.
        self._held: list[LogEntry] = []
        # Entries in a row that fit and are no chunks: several of them fit by no accident.
        self._evidence = 0
        self._misses = 0
        if not self._stored:
            self.done = True

    @property
    def holds(self) -> bool:
        """Whether entries are held back until it is clear what they are."""
        return bool(self._held)

    def new(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """Those of the next entries of the stream that are new, and those that were held back and are."""
        found: list[LogEntry] = []
        for entry in entries:
            if self.done or _only_streamed(entry):
                found.append(entry)
            else:
                found += self._compare(entry)
        return found

    def give_up(self) -> list[LogEntry]:
        """End the comparison: what was held back is taken for new."""
        self.done = True
        held, self._held = self._held, []
        return held

    def _compare(self, entry: LogEntry) -> Iterable[LogEntry]:
        sent = _sent(entry)
        if sent.piece == "":
            return ()
        fits = set(islice(self._followed(sent), MOST_FITS))
        if fits:
            self._fits = {fit for fit in fits if fit.place < len(self._stored)}
            self._held.append(entry)
            self._evidence += sent.piece is None
            if len(self._fits) < len(fits):
                # The log ends here: all of this was in it.
                self._held.clear()
            if not self._fits:
                self.done = True
            return ()
        if sent.identity is not None and sent.identity in self._skipped:
            self._skipped.remove(sent.identity)
            return ()
        self._misses += 1
        if self._fits or self._misses >= TOLERANCE or sent.piece is not None:
            if self._evidence >= CONVINCING or (self._evidence and any(map(self._nearly_over, self._fits))):
                self._held.clear()
            return (*self.give_up(), entry)
        return (entry,)

    def _nearly_over(self, fit: _Fit) -> bool:
        return not fit.offset and fit.place + TOLERANCE >= len(self._stored)

    def _followed(self, sent: _Sent) -> Iterator[_Fit]:
        """How each fit goes on with an entry; for the first entry, every place where it fits."""
        if not self._fits:
            if not self._held:
                for index in reversed(range(len(self._stored))):
                    yield from self._begun(index, sent)
            return
        for fit in self._fits:
            yield from self._next(fit, sent)

    def _begun(self, index: int, sent: _Sent) -> Iterator[_Fit]:
        stored = self._stored[index]
        if sent.piece is None:
            if _same(stored, sent):
                yield _Fit(index + 1)
            return
        # The stream may have been opened in the middle of the message.
        place = -1 if stored.text is None else stored.text.rfind(sent.piece)
        while stored.text is not None and place >= 0:
            end = place + len(sent.piece)
            yield _advanced(index, end, stored.text)
            place = stored.text.rfind(sent.piece, 0, end - 1)

    def _next(self, fit: _Fit, sent: _Sent) -> Iterator[_Fit]:
        last = fit.place + 1 if fit.offset else min(fit.place + TOLERANCE, len(self._stored))
        for index in range(fit.place, last):
            stored = self._stored[index]
            if sent.piece is not None:
                if stored.text is not None and stored.text.startswith(sent.piece, fit.offset):
                    yield _advanced(index, fit.offset + len(sent.piece), stored.text)
                    return
            elif _same(stored, sent) and (sent.whole is not None or not fit.offset):
                # What was passed over may come later: the order of the log may be a little different.
                self._skipped += [each.identity for each in self._stored[fit.place : index]]
                yield _Fit(index + 1)
                return
        if sent.whole is not None and fit.place and _same(self._stored[fit.place - 1], sent):
            # After its pieces.
            yield fit


def _same(stored: _Stored, sent: _Sent) -> bool:
    if sent.whole is not None:
        return stored.text == sent.whole
    return stored.text is None and stored.identity == sent.identity


def _advanced(index: int, offset: int, text: str) -> _Fit:
    return _Fit(index + 1) if offset >= len(text) else _Fit(index, offset)


def _only_streamed(entry: LogEntry) -> bool:
    # The log has it in another form.
    return entry.message.method == REQUEST_PERMISSION


def _stored(entry: LogEntry) -> _Stored:
    message = _message_of(entry)
    return _Stored(message, None if message is not None else _identity(entry))


def _sent(entry: LogEntry) -> _Sent:
    piece, whole = _chunk_of(entry), _message_of(entry)
    return _Sent(piece, whole, _identity(entry) if piece is None and whole is None else None)


def _identity(entry: LogEntry) -> object:
    message = entry.message
    parts = (_canonical(part) for part in (message.params, message.result, message.error))
    return message.method, message.id, *parts


def _canonical(raw: msgspec.Raw) -> bytes:
    """JSON that is the same whoever wrote it."""
    if not raw:
        return b""
    try:
        return msgspec.json.encode(msgspec.json.decode(raw), order="deterministic")
    except UNREADABLE:
        return bytes(raw)


def _message_of(entry: LogEntry) -> str | None:
    if entry.message.method != UPDATE or b'"agent_message"' not in bytes(entry.message.params):
        return None
    update = update_of(entry.message.params)
    return block_text(update.content) if isinstance(update, WholeMessage) else None


def _chunk_of(entry: LogEntry) -> str | None:
    if entry.message.method != UPDATE or b'"agent_message_chunk"' not in bytes(entry.message.params):
        return None
    update = update_of(entry.message.params)
    return block_text(update.content) if isinstance(update, MessageChunk) else None
