"""WaitingPrompts: the messages that were typed and not sent yet, in order. They can be changed and taken back.

They are kept in a file beside the run's log, so that they are still there after Burrow was started again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from app.core.errors import NotFound
from app.core.events import Event
from app.core.private import make_private_folder, replace_private
from app.core.runs.local.status import WaitingPrompt

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger(__name__)


class WaitingPrompts:
    """`all` has them, the oldest first; `changed` is emitted after each change. It belongs to the loop."""

    def __init__(self, path: Path) -> None:
        self.all: tuple[WaitingPrompt, ...] = ()
        self.changed: Event[None] = Event()
        self._path = path
        self._count = 0
        self._loaded = False
        self._unsaved = False
        self._saving: asyncio.Task[None] | None = None

    async def load(self) -> bool:
        """Read those of an earlier process, once; they go before all others. Says whether there were any."""
        if self._loaded:
            return False
        self._loaded = True
        found = await asyncio.to_thread(_read, self._path)
        if found:
            # Numbered anew: those that were added meanwhile have small numbers too.
            numbered = [msgspec.structs.replace(each, id=self._next()) for each in found]
            self._set((*numbered, *self.all))
        return bool(found)

    def add(self, text: str, files: tuple[str, ...]) -> WaitingPrompt:
        """Add a message at the end."""
        prompt = WaitingPrompt(self._next(), text, files)
        self._set((*self.all, prompt))
        return prompt

    def change(self, number: int, text: str) -> None:
        """Raises `NotFound` for a message that was sent."""
        found = self._one(number)
        new = msgspec.structs.replace(found, text=text)
        self._set(new if each is found else each for each in self.all)

    def take_back(self, number: int) -> WaitingPrompt:
        """Remove a message. Raises `NotFound` for one that was sent."""
        found = self._one(number)
        self._set(each for each in self.all if each is not found)
        return found

    def take_all(self) -> tuple[WaitingPrompt, ...]:
        """Remove all, to send them."""
        taken = self.all
        self._set(())
        return taken

    def put_back(self, prompts: Iterable[WaitingPrompt]) -> None:
        """They could not be sent, so they wait again, before all others."""
        self._set((*prompts, *self.all))

    async def flush(self) -> None:
        """Wait until the file has them."""
        while self._saving is not None:
            await asyncio.wait((self._saving,))

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _one(self, number: int) -> WaitingPrompt:
        for each in self.all:
            if each.id == number:
                return each
        raise NotFound("The message was sent already.")

    def _set(self, prompts: Iterable[WaitingPrompt]) -> None:
        self.all = tuple(prompts)
        self._unsaved = True
        if self._saving is None:
            self._saving = asyncio.create_task(self._save(), name="waiting prompts")
        self.changed.emit(None)

    async def _save(self) -> None:
        try:
            # Not over those of an earlier process.
            await self.load()
            while self._unsaved:
                self._unsaved = False
                await asyncio.to_thread(_write, self._path, msgspec.json.encode(self.all).decode())
        except OSError as failure:
            log.warning("messages that wait cannot be stored: %s", failure)
        finally:
            self._saving = None


def _read(path: Path) -> tuple[WaitingPrompt, ...]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[WaitingPrompt, ...])
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError) as failure:
        log.warning("messages that wait cannot be read: %s", failure)
        return ()


def _write(path: Path, text: str) -> None:
    make_private_folder(path.parent)
    replace_private(path, text, prefix=".waiting-")
