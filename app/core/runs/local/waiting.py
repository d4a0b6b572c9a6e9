"""WaitingPrompts: the messages that were typed and not sent yet, in order. They can be changed and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.core.errors import NotFound
from app.core.events import Event
from app.core.runs.local.status import WaitingPrompt

if TYPE_CHECKING:
    from collections.abc import Iterable


class WaitingPrompts:
    """`all` has them, the oldest first, and `sending` those that are on their way to the log, as the prompt `sent_as`.

    `changed` is emitted after each change.
    """

    def __init__(self) -> None:
        self.all: tuple[WaitingPrompt, ...] = ()
        self.sending: tuple[WaitingPrompt, ...] = ()
        self.sent_as = ""
        self.changed: Event[None] = Event()
        self._count = 0

    def add(self, text: str, files: tuple[str, ...]) -> WaitingPrompt:
        """Add a message at the end."""
        self._count += 1
        prompt = WaitingPrompt(self._count, text, files)
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

    def take_to_send(self, prompt: str) -> tuple[WaitingPrompt, ...]:
        """Remove all, to send them as the prompt of this id. They are kept as `sending` until the log has them."""
        self.sending, self.sent_as = self.all, prompt
        self._set(())
        return self.sending

    def forget_sent(self) -> None:
        """The log has those that were being sent."""
        self.sending = ()
        self.changed.emit(None)

    def put_back(self, prompts: Iterable[WaitingPrompt]) -> None:
        """They could not be sent, so they wait again, before all others."""
        self.sending = ()
        self._set((*prompts, *self.all))

    def _one(self, number: int) -> WaitingPrompt:
        for each in self.all:
            if each.id == number:
                return each
        raise NotFound("The message was sent already.")

    def _set(self, prompts: Iterable[WaitingPrompt]) -> None:
        self.all = tuple(prompts)
        self.changed.emit(None)
