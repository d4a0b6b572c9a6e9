"""Reading and replacing another program's configuration file so that nothing of it can be lost."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from datetime import datetime
from pathlib import Path

from app.core.mcp.programs.refused import ConfigChanged, ConfigRefused
from app.core.private import FILE_MODE, make_private_folder, sync_folder

BACKUP = "burrow-backup"
BLOCK = 256 * 1024
REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota on the disk is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "you have no permission",
    errno.EPERM: "the system does not allow it",
}


def read_config(path: Path, limit: int) -> bytes | None:
    """What the file has; None for one that does not exist. Raises `ConfigRefused`."""
    try:
        # Without waiting for somebody to write into a pipe.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as failure:
        raise ConfigRefused(f"{path} cannot be read: {_reason(failure)}.") from None
    try:
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigRefused(f"{path} is not a file.")
            content = file.read(limit + 1)
    except OSError as failure:
        raise ConfigRefused(f"{path} cannot be read: {_reason(failure)}.") from None
    if len(content) > limit:
        raise ConfigRefused(f"{path} is larger than {limit // (1024 * 1024)} MB.")
    return content


def write_config(path: Path, before: bytes | None, after: bytes) -> Path | None:
    """Replace the content in one step that survives a power failure; returns the backup, None for a new file.

    A link stays, and the file it leads to is replaced. Mode, owner and extended attributes stay. Just before the
    replacement the file is read again: if it does not have `before` any more, nothing is written and `ConfigChanged` is
    raised. Raises `ConfigRefused`.
    """
    try:
        target = path.resolve()
    except (OSError, RuntimeError) as failure:
        raise ConfigRefused(f"{path} leads nowhere: {_reason(failure)}.") from None
    made: list[Path] = []
    try:
        if before is None:
            make_private_folder(target.parent)
        else:
            _refuse_special(target)
            made.append(_back_up(target, before))
        made.append(_temporary(target, after, existing=before is not None))
        if read_config(target, len(before or b"") + BLOCK) != before:
            raise ConfigChanged(f"{path} was changed meanwhile, so nothing was written.")
        _replace(made[-1], target, new=before is None)
    except BaseException as failure:
        # Nothing was changed: the file itself is what a backup would keep.
        for each in made:
            with contextlib.suppress(OSError):
                each.unlink()
        if isinstance(failure, FileExistsError):
            raise ConfigChanged(f"{path} was made meanwhile, so nothing was written.") from None
        if isinstance(failure, OSError):
            raise ConfigRefused(f"{path} cannot be written: {_reason(failure)}.") from None
        raise
    return None if before is None else made[0]


def _refuse_special(target: Path) -> None:
    if not os.access(target, os.W_OK):
        # The folder would allow its replacement all the same.
        raise ConfigRefused(f"{target} is read-only.")
    # Replacing one name would leave the others with the old content.
    if os.name == "posix" and target.stat().st_nlink > 1:
        raise ConfigRefused(f"{target} has several names on the disk (hard links), and only this one would change.")


def _back_up(target: Path, content: bytes) -> Path:
    """Keep the content beside the file, for the owner only: it may have secrets."""
    begin = f"{target.name}.{BACKUP}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    number = 1
    while True:
        backup = target.with_name(begin if number == 1 else f"{begin}-{number}")
        try:
            handle = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), FILE_MODE)
            break
        except FileExistsError:
            number += 1
    _fill(handle, backup, content)
    return backup


def _temporary(target: Path, content: bytes, *, existing: bool) -> Path:
    """The new content in a file beside the target, with the target's mode, owner and attributes."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.burrow-")
    temporary = Path(name)
    _fill(handle, temporary, content)
    if existing:
        try:
            _copy_attributes(target, temporary)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    return temporary


def _copy_attributes(source: Path, copy: Path) -> None:
    found = source.stat()
    if os.name == "posix":
        made = copy.stat()
        if (made.st_uid, made.st_gid) != (found.st_uid, found.st_gid):
            os.chown(copy, found.st_uid, found.st_gid)
    os.chmod(copy, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source) if hasattr(os, "listxattr") else ():
        # File systems differ in which they can have.
        with contextlib.suppress(OSError):
            os.setxattr(copy, name, os.getxattr(source, name))


def _fill(handle: int, path: Path, content: bytes) -> None:
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _replace(temporary: Path, target: Path, *, new: bool) -> None:
    if not (new and _linked(temporary, target)):
        os.replace(temporary, target)
    # The file is what it should be, whatever happens here.
    with contextlib.suppress(OSError):
        sync_folder(target.parent)


def _linked(temporary: Path, target: Path) -> bool:
    """Give a new file its name, where the file system can. Raises `FileExistsError` if somebody made one meanwhile."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        return False
    with contextlib.suppress(OSError):
        temporary.unlink()
    return True


def _reason(failure: Exception) -> str:
    if isinstance(failure, OSError) and failure.errno is not None:
        return REASONS.get(failure.errno) or failure.strerror or str(failure)
    return str(failure)
