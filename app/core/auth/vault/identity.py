"""FolderIdentity: the id of a data folder, which names its sign-ins in the keyring that all folders of a user share.

The id is kept in the folder, so a folder that was moved, or is opened through a symlink, has the same sign-ins.
Versions before it named them by the folder's path (`former`); each such name is looked up once (`moved.py`,
`FileVault`).

A copy of a folder is told from a moved one by the original, which is still there with the same id. Two folders with one
sign-in would spend each other's refresh token, so the copy gets an id of its own and asks for a sign-in. A copy on
another machine cannot be told: there the sign-in of a private file is shared, and the server may end it for both.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from app.core.private import FILE_MODE, make_private_folder, replace_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FILE_NAME = "identity.json"
UNENCRYPTED_FOLDER = "sign-in-unencrypted"
# The stamps of grants (`grant/files.py`) are there in every folder in which a version without ids stored one.
STAMPS = "locks/*.stamp"
LOCK_SECONDS = 4.0

log = logging.getLogger(__name__)


class IdentityBusy(Exception):
    """Another process holds the lock of the identity and does not release it."""


class Record(NamedTuple):
    """The content of the file. `place` is the real path at which the folder was opened last."""

    id: str
    place: str
    former: tuple[str, ...] = ()
    looked_up: frozenset[str] = frozenset()

    @staticmethod
    def of(text: str) -> Record | None:
        """The record in a file, None for anything else."""
        try:
            record = json.loads(text)
            number, place = record["id"], record["place"]
            former, looked_up = tuple(record["former"]), frozenset(record["looked_up"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        if not all(isinstance(one, str) for one in (number, place, *former, *looked_up)) or not number.isalnum():
            return None
        return Record(number, place, former, looked_up)

    def text(self) -> str:
        """The content of the file, in ASCII: a path may have bytes that are no text."""
        return json.dumps({**self._asdict(), "looked_up": sorted(self.looked_up)})


class FolderIdentity:
    """The identity of one data folder. Blocks for a read of a small file, and once for the lock when it is created."""

    def __init__(self, folder: Path) -> None:
        """Read the identity, or create it. Raises nothing.

        A folder that cannot be written is named by its path, and by its id as soon as that can be kept.
        """
        self._path = folder / FILE_NAME
        self._paths = {_digest_of(str(folder)), _digest_of(os.path.realpath(folder))}
        place = os.path.realpath(folder)
        record = None
        try:
            record = self._read()
            if record is None or record.place != place:
                record = self._settle(folder, place)
        except (OSError, IdentityBusy) as failure:
            log.warning("the identity of %s cannot be kept: %s", folder, failure)
            if record is None or self._is_copy(record):
                record = Record(_digest_of(str(folder)), place)
        self.id = record.id
        # Only a folder that is older than ids has names by a path. It may have been used by several, such as a symlink.
        self.former = tuple(dict.fromkeys((*record.former, *sorted(self._paths)))) if record.former else ()
        self._looked_up = record.looked_up

    def local_name(self, name: str) -> str:
        """`name` without the id: for what is kept in the folder itself, and must not be lost with the id."""
        return name.replace(f"|{self.id}", "|", 1)

    def former_names(self, name: str) -> tuple[str, ...]:
        """The names by path that `name` may have had."""
        return tuple(name.replace(f"|{self.id}", f"|{former}", 1) for former in self.former if f"|{self.id}" in name)

    def unknown_names(self, name: str) -> tuple[str, ...]:
        """Those of `former_names` that were not looked up yet."""
        return tuple(former for former in self.former_names(name) if _digest_of(former) not in self._looked_up)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock of the identity, and see what other processes looked up. Raises `IdentityBusy`, `OSError`."""
        with self._locked():
            record = self._read()
            if record is not None:
                self._looked_up |= record.looked_up
            yield

    def mark_looked_up(self, names: Iterable[str]) -> None:
        """Never look these names up again. The caller holds the lock. Raises nothing: once more does no harm."""
        self._looked_up |= {_digest_of(name) for name in names}
        with suppress(OSError):
            record = self._read()
            if record is not None and record.id == self.id:
                self._write(record._replace(looked_up=self._looked_up))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        try:
            lock = FileLock(f"{self._path}.lock", timeout=LOCK_SECONDS, mode=FILE_MODE)
            lock.acquire()
        except Timeout:
            raise IdentityBusy(f"{self._path} is in use by another Burrow") from None
        try:
            yield
        finally:
            lock.release()

    def _settle(self, folder: Path, place: str) -> Record:
        """Create the identity, or take over the place of a folder that was moved."""
        make_private_folder(folder)
        with self._locked():
            record = self._read()
            if record is None:
                self._set_aside()
                former = sorted(self._paths) if any(folder.glob(STAMPS)) else ()
                record = Record(secrets.token_hex(16), place, tuple(former))
            elif record.place == place:
                return record
            elif self._is_copy(record):
                log.warning("this data folder is a copy of %s and has no sign-ins of its own yet", record.place)
                # The tokens are the original's, and nobody would find them here to delete them.
                for path in (folder / UNENCRYPTED_FOLDER).glob("*"):
                    path.unlink(missing_ok=True)
                record = Record(secrets.token_hex(16), place)
            else:
                record = record._replace(place=place)
            self._write(record)
            return record

    def _is_copy(self, record: Record) -> bool:
        """Whether the folder that `record` was written in is still there, and is another one than this."""
        other = Path(record.place) / FILE_NAME
        try:
            found = Record.of(other.read_text(encoding="utf-8"))
            # Not `samefile`: one folder that is mounted twice may have two device numbers.
            return found is not None and found.id == record.id and other.stat().st_ino != self._path.stat().st_ino
        except (OSError, UnicodeDecodeError):
            return False

    def _read(self) -> Record | None:
        """What is kept; None when there is nothing, or nothing that can be understood. Raises `OSError`."""
        try:
            return Record.of(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def _write(self, record: Record) -> None:
        replace_private(self._path, record.text(), prefix=f".{FILE_NAME}-")

    def _set_aside(self) -> None:
        """Rename a file that cannot be read: nothing is deleted."""
        with suppress(FileNotFoundError):
            self._path.rename(self._path.with_name(f"identity.set-aside-{secrets.token_hex(4)}.json"))


def _digest_of(text: str) -> str:
    """What versions before the id called a folder by its path."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:12]
