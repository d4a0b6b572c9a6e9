"""Attachments: files that a task is to carry, copied into the data folder until a run has them.

A copy is named by the SHA-256 of its content, so a file that is attached twice is kept once. Drafts, the outbox and
tasks name attachments (`encode`); a copy that nothing names is deleted after a day, not at once: another window may be
about to name it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from app.core.errors import Rejected, StorageTrouble
from app.core.private import make_private_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

FOLDER = "attachments"
# The field of a draft and of an item of the outbox that names them.
FIELD = "_attachments"
# The kind of the drafts that name the files of a task.
TASK_FILES = "task.files"
MOST = 20
# What PostHog takes (docs/wire.md, "Files of a run").
LARGEST = 30 * 2**20
LARGEST_PDF = 10 * 2**20
PDF = "application/pdf"
UNKNOWN_TYPE = "application/octet-stream"
PART = 2**20
KEPT_SECONDS = 86_400.0
_TEMPORARY = "part-"


class Attachment(NamedTuple):
    """A file as it was attached. `digest` is the SHA-256 of its content in hexadecimal, `size` is in bytes."""

    name: str
    digest: str
    size: int
    type: str


class Attachments:
    """The copies in one data folder. All methods block on the disk: call them in a worker thread.

    They raise `Rejected` for a file that no server takes, and `StorageTrouble` where nothing can be read or written.
    """

    def __init__(self, folder: Path | None) -> None:
        """Without a folder nothing can be kept."""
        self._folder = None if folder is None else folder / FOLDER

    def add_file(self, path: Path) -> Attachment:
        """Copy a file."""
        import mimetypes

        if not path.is_file():
            raise Rejected(f"{path.name} is no file.")
        kind = mimetypes.guess_type(path.name)[0] or UNKNOWN_TYPE
        try:
            with path.open("rb") as file:
                return self._add(path.name, kind, iter(lambda: file.read(PART), b""))
        except OSError as failure:
            raise StorageTrouble(f"{path} cannot be read: {failure.strerror or failure}.", action="") from None

    def add_content(self, name: str, kind: str, content: bytes) -> Attachment:
        """Keep what was never a file, such as a picture from the clipboard."""
        return self._add(name, kind, iter((content,)))

    def read(self, attachment: Attachment) -> bytes:
        """The content of an attachment."""
        import hashlib

        try:
            content = self._path(attachment.digest).read_bytes()
        except OSError as failure:
            raise StorageTrouble(f"{attachment.name} cannot be read: {failure.strerror or failure}.") from None
        if hashlib.sha256(content).hexdigest() != attachment.digest:
            raise StorageTrouble(f"The copy of {attachment.name} was damaged.", action="Attach the file again.")
        return content

    def clean(self, named: Collection[str]) -> None:
        """Delete the copies whose digests are not among `named` and which are a day old. Raises nothing."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                if path.name not in named and time.time() - path.stat().st_mtime > KEPT_SECONDS:
                    with contextlib.suppress(OSError):
                        path.unlink()

    def _add(self, name: str, kind: str, parts: Iterator[bytes]) -> Attachment:
        import tempfile

        folder = self._folder
        if folder is None:
            raise StorageTrouble("Burrow has no data folder to keep files in.", action="")
        temporary = ""
        try:
            make_private_folder(folder)
            # Private from its first byte on.
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=_TEMPORARY)
            with os.fdopen(handle, "wb") as file:
                digest, size = _copy(name, kind, parts, file.write)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, folder / digest)
        except OSError as failure:
            _remove(temporary)
            raise StorageTrouble(f"{name} could not be kept: {failure.strerror or failure}.") from None
        except BaseException:
            _remove(temporary)
            raise
        return Attachment(name, digest, size, kind)

    def _path(self, digest: str) -> Path:
        if self._folder is None or len(digest) != 64 or not digest.isalnum():
            raise FileNotFoundError(2, "no such copy")
        return self._folder / digest


def encode(attachments: Iterable[Attachment]) -> str:
    """The names of attachments as a text to store; empty if there are none."""
    found = tuple(attachments)
    return json.dumps(found) if found else ""


def decode(text: object) -> tuple[Attachment, ...]:
    """Read what `encode` wrote. Anything else is nothing."""
    try:
        stored = json.loads(text) if isinstance(text, str) and text else ()
    except (ValueError, RecursionError):
        return ()
    found = tuple(_attachment(each) for each in stored) if isinstance(stored, list) else ()
    return () if None in found else tuple(each for each in found if each is not None)


def _attachment(stored: object) -> Attachment | None:
    match stored:
        case [str(name), str(digest), int(size), str(kind)] if not isinstance(size, bool):
            return Attachment(name, digest, size, kind)
        case _:
            return None


def _copy(name: str, kind: str, parts: Iterator[bytes], write: Callable[[bytes], object]) -> tuple[str, int]:
    import hashlib

    limit = LARGEST_PDF if kind == PDF else LARGEST
    found, size = hashlib.sha256(), 0
    for part in parts:
        size += len(part)
        if size > limit:
            raise Rejected(f"{name} is larger than {limit // 2**20} MB.", action="Attach a smaller file.")
        found.update(part)
        write(part)
    return found.hexdigest(), size


def _remove(path: str) -> None:
    if path:
        with contextlib.suppress(OSError):
            os.unlink(path)
