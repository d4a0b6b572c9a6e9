"""Files and folders that only their owner may read, from their first byte: created with that mode, not changed to it.

The umask stays as it is: programs that Burrow starts (the browser, MCP servers) would inherit it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def make_private_folder(folder: Path) -> None:
    """Create `folder` and each missing folder above it. One that exists keeps its mode. Raises `OSError`."""
    # `Path.mkdir(parents=True)` would give the mode to the last one only.
    if not folder.is_dir():
        if folder.parent != folder:
            make_private_folder(folder.parent)
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)


def open_private(path: str, flags: int) -> int:
    """An `opener` for `open`. A file that an earlier version left readable for others becomes private too."""
    handle = os.open(path, flags, FILE_MODE)
    if os.name == "posix":
        found = os.fstat(handle)
        # Never a device or another user's file, which a link may lead to.
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_mode & 0o077:
            # A file system without modes refuses.
            with contextlib.suppress(OSError):
                os.fchmod(handle, FILE_MODE)
    return handle


def replace_private(path: Path, text: str, *, prefix: str) -> None:
    """Replace the content of `path` in one step that survives a power failure. Raises `OSError`.

    A reader and a crash see the old file or the new one, never a torn one. What a process that is killed leaves behind
    has a name that begins with `prefix`, in the folder of `path`.
    """
    import tempfile

    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix)
    fill_and_replace(handle, temporary, path, text)


def fill_and_replace(handle: int, temporary: str | Path, path: Path, text: str) -> None:
    """Write `text` over what `temporary` has, and put that file in the place of `path`. Raises `OSError`.

    `handle` is open for writing, and closed afterwards. If anything fails, `temporary` is deleted: it may have a part
    of the text by then.
    """
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power failure. Windows does so by itself."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
