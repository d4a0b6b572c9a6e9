"""UnsentFile: the messages of a local run that were typed and not sent, kept on disk so that none is lost."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from app.core.errors import StorageTrouble
from app.core.private import make_private_folder, replace_private

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

log = logging.getLogger(__name__)

FILE = "unsent.json"


class Unsent(msgspec.Struct, frozen=True, array_like=True):
    """A message with the files that go with it, and the id of the prompt that it was being sent as; empty for none."""

    text: str
    files: tuple[str, ...] = ()
    prompt: str = ""


class UnsentFile:
    """`put` stores in a thread, the latest state last; `flush` waits for it.

    `logged` is awaited before that: what waits no more must be in the log.
    """

    def __init__(self, folder: Path, logged: Callable[[], Awaitable[None]]) -> None:
        self._folder = folder
        self._logged = logged
        self._wanted: tuple[Unsent, ...] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._failure: OSError | None = None

    async def load(self) -> tuple[Unsent, ...]:
        """What is stored, in order. Of a process that was killed, the log may have those that were being sent."""
        return await asyncio.to_thread(self._load)

    def put(self, messages: tuple[Unsent, ...]) -> None:
        """Store these instead of what there is."""
        self._wanted = messages
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="unsent messages")

    async def flush(self) -> None:
        """Wait until the latest is stored. Raises `StorageTrouble`."""
        while self._writing is not None:
            await asyncio.wait((self._writing,))
        if self._failure is not None:
            raise StorageTrouble(f"The message cannot be stored: {self._failure.strerror or self._failure}.")

    async def _write(self) -> None:
        try:
            while self._wanted is not None:
                messages, self._wanted = self._wanted, None
                await self._logged()
                await asyncio.to_thread(self._save, messages)
                self._failure = None
        except OSError as failure:
            self._failure = failure
            log.warning("the messages of a run cannot be stored: %s", failure)
        finally:
            self._writing = None

    def _save(self, messages: tuple[Unsent, ...]) -> None:
        path = self._folder / FILE
        if not messages:
            path.unlink(missing_ok=True)
            return
        make_private_folder(self._folder)
        replace_private(path, msgspec.json.encode(messages).decode(), prefix=".unsent-")

    def _load(self) -> tuple[Unsent, ...]:
        try:
            return msgspec.json.decode((self._folder / FILE).read_bytes(), type=tuple[Unsent, ...])
        except (OSError, msgspec.MsgspecError):
            return ()
