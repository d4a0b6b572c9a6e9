"""WaitingPrompts: the messages that were typed and not sent yet, in order. They can be changed and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.core.errors import NotFound
from app.core.events import Event
from app.core.runs.local.status import WaitingPrompt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


class WaitingPrompts:
    """`all` has them, the oldest first, and `sending` those that are on their way to the log, each with the id of the
    prompt that it is sent as; empty for none. `changed` is emitted after each change.
    """

    def __init__(self) -> None:
        self.all: tuple[WaitingPrompt, ...] = ()
        self.sending: tuple[tuple[WaitingPrompt, str], ...] = ()
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
        taken = self.all
        self.sending += tuple((each, prompt) for each in taken)
        self._set(())
        return taken

    def take_one_to_send(self, number: int) -> tuple[WaitingPrompt, int]:
        """Remove a message to send it by itself; returns its place too. Raises `NotFound` for one that was sent."""
        found = self._one(number)
        place = self.all.index(found)
        self.sending += ((found, ""),)
        self._set((*self.all[:place], *self.all[place + 1 :]))
        return found, place

    def forget_sent(self, prompts: Collection[WaitingPrompt]) -> None:
        """The log has these."""
        self.sending = tuple(each for each in self.sending if each[0] not in prompts)
        self.changed.emit(None)

    def put_back(self, prompts: Collection[WaitingPrompt], place: int = 0) -> None:
        """They could not be sent, so they wait again, at their place, which is before all others."""
        self.sending = tuple(each for each in self.sending if each[0] not in prompts)
        self._set((*self.all[:place], *prompts, *self.all[place:]))

    def _one(self, number: int) -> WaitingPrompt:
        for each in self.all:
            if each.id == number:
                return each
        raise NotFound("The message was sent already.")

    def _set(self, prompts: Iterable[WaitingPrompt]) -> None:
        self.all = tuple(prompts)
        self.changed.emit(None)
