"""Decodes the pictures of one result, one after the other in a worker thread, within one budget of pixels."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QObject

from app.core.mcp.results.media import RASTER, SVG
from app.ui.widgets.pictures import decode_picture, picture_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QImage

    from app.ui.bridge import Bridge

# The pixels of all pictures of a result together. A file of some kilobytes may claim any size, and each pixel takes
# four bytes while it is decoded.
PIXEL_BUDGET = 50_000_000


@dataclass(frozen=True)
class LoadedPicture:
    """`image` as it is shown, smaller than `width` by `height` if that is very large; or the `reason` for none."""

    width: int = 0
    height: int = 0
    image: QImage | None = None
    reason: str = ""


class PictureLoader(QObject):
    """The pictures of the result in view. `start` begins with another result."""

    def __init__(self, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._turn = asyncio.Lock()
        self.start()

    def start(self) -> None:
        """Forget the former result."""
        self._left = PIXEL_BUDGET
        # A picture that scrolled out of view is decoded again. It is counted once.
        self._counted: set[int] = set()

    def load(self, owner: QObject, data: bytes, mime: str, done: Callable[[LoadedPicture], None]) -> None:
        """Decode a picture and call `done`, unless `owner` is gone by then."""
        if (reason := undrawn(mime)) or not data:
            done(LoadedPicture(reason=reason or _tr("It is empty.")))
            return
        self._bridge.spawn(owner, self._decode(data, RASTER[mime]), done=done)

    async def _decode(self, data: bytes, form: str) -> LoadedPicture:
        # One at a time: each may take as much memory as the budget allows.
        async with self._turn:
            size = await asyncio.to_thread(picture_size, data, form)
            width, height = size.width(), size.height()
            if size.isEmpty():
                return LoadedPicture(reason=_tr("It is damaged."))
            if not self._within_budget(data, width * height):
                return LoadedPicture(
                    width, height, reason=_tr("The pictures of this result are too large to show together.")
                )
            image = await asyncio.to_thread(decode_picture, data, form)
            if image.isNull():
                return LoadedPicture(width, height, reason=_tr("It is damaged."))
            return LoadedPicture(width, height, image)

    def _within_budget(self, data: bytes, pixels: int) -> bool:
        if id(data) in self._counted:
            return True
        if pixels > self._left:
            return False
        self._left -= pixels
        self._counted.add(id(data))
        return True


def undrawn(mime: str) -> str:
    """Why a kind of picture is never drawn; empty when it is."""
    if mime in RASTER:
        return ""
    if mime == SVG:
        return _tr("Burrow does not draw SVG, because a drawing can read files and call servers.")
    return _tr("Burrow does not draw this format.")


def _tr(text: str) -> str:
    return QCoreApplication.translate("PictureLoader", text)
