"""Which command a key means, and which commands the palette offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from app.ui.shell.keymap import portable
from app.ui.shell.shortcuts import Shortcuts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtWidgets import QWidget

    from app.ui.context import Command
    from app.ui.place import Place
    from app.ui.place_info import PlaceInfo
    from app.ui.shell.place_stack import PlaceStack


class CommandMap(QObject):
    """Gathers the commands of the window and its places.

    `active` says whether the places are in view and keys are meant for them. `go` shows the place of a global key.
    """

    def __init__(
        self,
        window: QWidget,
        stack: PlaceStack,
        own: Sequence[Command],
        infos: Sequence[PlaceInfo],
        *,
        active: Callable[[], bool],
        go: Callable[[str], None],
    ) -> None:
        super().__init__(window)
        self._stack, self._own, self._active, self._go = stack, own, active, go
        self._global = {portable(key): info.id for info in infos for key in info.global_keys}
        self.shortcuts = Shortcuts(window, self._pressed)
        self.shortcuts.bind(command.keys for command in own)
        self.shortcuts.bind(self._global)

    @property
    def own(self) -> Sequence[Command]:
        """The commands of the window itself."""
        return self._own

    def bind(self, place: Place) -> None:
        """Bind the keys of a place that was just built."""
        self.shortcuts.bind((command.keys for command in place.commands()), place)

    def listen(self) -> None:
        """Listen to the keys of the window and of the place in view. Other keys go to the widget with the focus."""
        commands = (*self._own, *self._here())
        self.shortcuts.listen_only_to(
            [*self._global, *(command.keys for command in commands)],
            repeating=(command.keys for command in commands if command.repeats),
        )

    def every(self) -> list[Command]:
        """All commands, those of the place in view first, each id once."""
        found: dict[str, Command] = {}
        for commands in (*(place.commands() for _, place in self._stack.built()), self._own):
            for command in commands:
                found.setdefault(command.id, command)
        return list(found.values())

    def items(self) -> list[Command]:
        """The commands that go to an item of a place."""
        return [command for _, place in self._stack.built() for command in place.items()]

    def _here(self) -> Sequence[Command]:
        return self._stack.current.commands() if self._stack.current is not None else ()

    def _pressed(self, keys: str) -> None:
        active = self._active()
        home = self._global.get(keys)
        if active and home is not None:
            # First: the command is then looked up among those of that place.
            self._go(home)
        # The place in view goes before the window.
        own = (command for command in self._own if active or command.anywhere)
        commands = (*(self._here() if active else ()), *own)
        command = next((each for each in commands if each.keys and portable(each.keys) == keys), None)
        if command is not None and command.enabled():
            command.run()
