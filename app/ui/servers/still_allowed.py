"""Says which tools are still allowed after the one call that they were allowed for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from app.marks import revealed_name
from app.ui.bridge import Generation
from app.ui.servers.wording import policy_words

if TYPE_CHECKING:
    from app.core.backend import Backend
    from app.ui.bridge import Bridge
    from app.ui.context import Navigator
    from app.ui.servers.controller import ServerController
    from app.ui.widgets.feedback import Banner


class StillAllowed(QObject):
    """Shows a bar while a policy could not be set back. The core tries again by itself; the bar lets a person do so."""

    def __init__(self, controller: ServerController, banner: Banner, navigator: Navigator, bridge: Bridge) -> None:
        super().__init__(banner)
        self._controller, self._banner, self._navigator = controller, banner, navigator
        self._generation = Generation(bridge, self)
        self._backend: Backend | None = None
        controller.changed.connect(self._show)

    def start(self, backend: Backend | None) -> None:
        """Follow the calls of this account."""
        self._generation.renew()
        self._backend = backend
        if backend is not None:
            self._generation.listen(backend.single_calls.changed, lambda _nothing: self._show_and_say())
        self._show()

    def _show_and_say(self) -> None:
        self._show()
        if not self._banner.isHidden():
            self._navigator.announce(self._banner.text(), assertive=True)

    def _show(self) -> None:
        backend = self._backend
        left = () if backend is None else backend.single_calls.still_allowed
        if backend is None or not left:
            self._banner.clear()
            return
        first = left[0]
        server = self._controller.server(first.server)
        tool = revealed_name(first.tool)
        named = tool if server is None else self.tr("{0} of {1}").format(tool, revealed_name(server.title))
        if len(left) == 1:
            words = self.tr("{0} is still allowed. It could not be set back to {1}, and Burrow tries again.")
        else:
            words = self.tr("{0} and other tools are still allowed. Burrow could not set them back, and tries again.")
        self._banner.show_message(
            words.format(named, policy_words(first.former)),
            "bad",
            secondary=[(self.tr("Set back now"), backend.single_calls.set_back_soon)],
        )
