"""The files of a new task or of a message: dropped, pasted or chosen, and kept with its draft."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QBuffer, QIODevice, QLocale, Qt, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.core.errors import BurrowError
from app.core.storage.attachments import MOST, decode, encode
from app.marks import revealed_name
from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.feedback import clear_layout
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import ElidedLabel, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtCore import QMimeData
    from PySide6.QtGui import QHideEvent, QImage

    from app.core.storage.attachments import Attachment, Attachments
    from app.ui.bridge import Bridge


class AttachmentRows(QWidget):
    """Lists files. `removed(Attachment)` when the user takes one away."""

    removed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(theme().px(tokens.SPACE_1))
        self._shown: tuple[Attachment, ...] = ()
        self.setVisible(False)

    def show_files(self, files: Sequence[Attachment]) -> None:
        """Show these."""
        if tuple(files) == self._shown:
            return
        self._shown = tuple(files)
        clear_layout(self._box)
        for each in files:
            self._box.addWidget(self._row(each))
        self.setVisible(bool(files))

    def _row(self, file: Attachment) -> QWidget:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(theme().px(tokens.SPACE_2))
        line.addWidget(ElidedLabel(file.name), 1)
        line.addWidget(Text(QLocale().formattedDataSize(file.size, 0), "caption", "muted"))
        remove = QuietButton(self.tr("Remove"), kind="flat", clicked=lambda: self.removed.emit(file))
        remove.setAccessibleName(self.tr("Remove {0}").format(file.name))
        line.addWidget(remove)
        return row


class AttachmentBox(QWidget):
    """`changed` when the user added or removed a file."""

    changed = Signal()

    def __init__(
        self,
        store: Callable[[], Attachments],
        bridge: Bridge,
        parent: QWidget | None = None,
        *,
        of_message: bool = False,
    ) -> None:
        """`of_message`: they go with a message, else with the run of a task."""
        super().__init__(parent)
        self._store, self._bridge, self._of_message = store, bridge, of_message
        self._files: tuple[Attachment, ...] = ()
        # So many times files are being copied, and what is to be done after that.
        self._copies = 0
        self._then: Callable[[], object] | None = None
        # Another draft: what is still being copied belongs to the former one.
        self._turn = 0
        current = theme()
        self.rows = AttachmentRows()
        self.rows.removed.connect(self._remove)
        self._said = Text(role="caption", tone="muted", wrap=True)
        self.attach_button = QuietButton(self.tr("Attach files…"), kind="flat", clicked=self._choose)
        self.attach_button.setToolTip(self.tr("Attach files. You can also drop them here, or paste a picture."))
        line = QHBoxLayout()
        line.setSpacing(current.px(tokens.SPACE_2))
        line.addWidget(self.attach_button)
        line.addWidget(self._said, 1)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(tokens.SPACE_1))
        box.addWidget(self.rows)
        box.addLayout(line)

    @property
    def files(self) -> tuple[Attachment, ...]:
        """What is attached."""
        return self._files

    def text(self) -> str:
        """What is attached, as it is stored; empty for nothing."""
        return encode(self._files)

    def forget(self, files: Sequence[Attachment]) -> None:
        """They were sent: list them no more, without `changed`."""
        self._show(tuple(each for each in self._files if each not in files))

    @property
    def copying(self) -> bool:
        """Whether files are being copied that are not listed yet."""
        return self._copies > 0

    def when_copied(self, work: Callable[[], object]) -> None:
        """Do something now, or as soon as all files are copied; never if one could not be, or it is hidden before."""
        if self.copying:
            self._then = work
        else:
            work()

    def put(self, text: str) -> None:
        """Show what is stored, without `changed`."""
        self._turn += 1
        self._copies, self._then = 0, None
        self._show(decode(text))

    def add_paths(self, paths: Sequence[Path]) -> None:
        """Attach copies of files, in this order."""
        store = self._store()
        self._add([partial(store.add_file, path) for path in paths])

    def add_image(self, image: QImage) -> None:
        """Attach a picture that was never a file."""
        store, name = self._store(), f"{self.tr('Picture')} {datetime.now(UTC).astimezone():%Y-%m-%d %H.%M.%S}.png"
        # A value: the clipboard may change meanwhile.
        kept = image.copy()
        self._add([lambda: store.add_content(name, "image/png", png_of(kept))])

    def takes(self, data: QMimeData) -> bool:
        """Whether data is files or a picture. Text that comes with files or with a picture of it is text."""
        return bool(paths_of(data)) or (data.hasImage() and not data.hasText())

    def take(self, data: QMimeData) -> bool:
        """Attach what was dropped or pasted, if it is files or a picture."""
        paths = paths_of(data)
        if paths:
            self.add_paths(paths)
        elif self.takes(data):
            image: QImage = data.imageData()
            if image.isNull():
                return False
            self.add_image(image)
        else:
            return False
        return True

    def _add(self, copies: Sequence[Callable[[], Attachment]]) -> None:
        turn = self._turn
        self._copies += 1
        self._say(self.tr("Copying…"))
        self._bridge.spawn(self, _made(copies), done=lambda made: self._added(turn, *made))

    def _added(self, turn: int, files: list[Attachment], failures: list[BurrowError]) -> None:
        if turn != self._turn:
            return
        self._copies -= 1
        wanted = list(dict.fromkeys((*self._files, *files)))
        changed = tuple(wanted[:MOST]) != self._files
        self._show(tuple(wanted[:MOST]))
        why = [f"{each.cause} {each.advice}".strip() for each in failures]
        if len(wanted) > MOST:
            most = (
                self.tr("A message has {0} files at most; {1} are left out.")
                if self._of_message
                else self.tr("A task has {0} files at most; {1} are left out.")
            )
            why.append(most.format(MOST, len(wanted) - MOST))
        names = ", ".join(revealed_name(each.name) for each in files)
        announce(self, " ".join([self.tr("Attached {0}.").format(names), *why] if changed else why))
        if why:
            self._then = None
            self._say(" ".join(why), bad=True)
        if changed:
            self.changed.emit()
        then = None if self.copying else self._then
        if then is not None:
            self._then = None
            then()

    def _remove(self, file: Attachment) -> None:
        self._show(tuple(each for each in self._files if each != file))
        self.attach_button.setFocus(Qt.FocusReason.OtherFocusReason)
        self.changed.emit()

    def _show(self, files: tuple[Attachment, ...]) -> None:
        self._files = files
        self.rows.show_files(files)
        kept = (
            self.tr("Kept on this computer until the message is sent.")
            if self._of_message
            else self.tr("Kept on this computer until the task runs.")
        )
        self._say(self.tr("Copying…") if self.copying else kept if files else "")

    def _say(self, words: str, *, bad: bool = False) -> None:
        self._said.set_tone("bad" if bad else "muted")
        self._said.setText(words)

    @guarded()
    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._then = None

    def _choose(self) -> None:
        dialog = QFileDialog(self, self.tr("Attach files"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.filesSelected.connect(lambda names: self.add_paths([Path(name) for name in names]))
        dialog.open()


async def _made(copies: Sequence[Callable[[], Attachment]]) -> tuple[list[Attachment], list[BurrowError]]:
    """What the copies gave, one after the other; one that fails does not keep the others away."""
    import asyncio

    files: list[Attachment] = []
    failures: list[BurrowError] = []
    for copy in copies:
        try:
            files.append(await asyncio.to_thread(copy))
        except BurrowError as failure:
            failures.append(failure)
    return files, failures


def paths_of(data: QMimeData) -> list[Path]:
    """The files of this computer that data names; none if it names anything else, or has a text of its own.

    File managers add a text that names the same files: by address, path, or, on macOS, by name alone.
    """
    urls = data.urls()
    paths = [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
    if len(paths) != len(urls):
        return []
    names = {words for url in urls for words in (url.toString(), bytes(url.toEncoded().data()).decode())}
    names.update(words for path in paths for words in (str(path), path.as_posix(), path.name))
    lines = data.text().splitlines() if data.hasFormat("text/plain") else []
    return paths if all(line.strip() in names for line in lines if line.strip()) else []


def png_of(image: QImage) -> bytes:
    """A picture as PNG. It may take a second: call it in a worker thread."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    # The stubs want bytes, which PySide does not take.
    image.save(buffer, "PNG")  # type: ignore[call-overload]
    return bytes(buffer.data().data())
