"""What is typed, when the window is about to close: it is saved, and what cannot be saved is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core.errors import BurrowError

if TYPE_CHECKING:
    from app.core.storage import Draft
    from app.core.storage.drafts import Drafts
    from app.ui.shell.place_stack import PlaceStack


@dataclass(frozen=True, slots=True)
class UnsavedText:
    """What would be lost if the window closed now. `why` says what failed, empty where nothing stores it."""

    texts: tuple[str, ...] = ()
    why: str = ""

    @property
    def text(self) -> str:
        """All of it, to be read and copied."""
        # Drafts and places may tell of the same text.
        return "\n\n".join(dict.fromkeys(self.texts))

    def __bool__(self) -> bool:
        # Text that cannot be shown is lost all the same.
        return bool(self.texts or self.why)


class TypedText:
    """Saves what is typed in the places, and says what is left."""

    def __init__(self, stack: PlaceStack, drafts: Drafts) -> None:
        self._stack, self._drafts = stack, drafts

    @property
    def unsaved(self) -> bool:
        """Whether something would be lost if the window closed now."""
        return bool(self._drafts.unsaved or self._stack.unsaved)

    async def save(self) -> UnsavedText:
        """Store what can be stored. Raises nothing that a full disk can cause."""
        await self._stack.save_typed()
        try:
            await self._drafts.retry()
        except BurrowError as failure:
            drafts = [typed for draft in self._drafts.unsaved if (typed := words_of(draft))]
            why = f"{failure.cause} {failure.advice}".strip()
            return UnsavedText((*self._stack.unsaved_texts(), *drafts), why)
        # Not what failed to be stored, but what nothing stores: only the user can say what becomes of it.
        return UnsavedText(tuple(self._stack.unsaved_texts()))


def words_of(draft: Draft) -> str:
    """What was typed into a draft, a line for each field. What is about the text begins with an underscore."""
    return "\n".join(text for name, text in draft.fields.items() if text and not name.startswith("_"))
