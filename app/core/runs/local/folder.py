"""WorkingFolder: the one folder of a run. Agent, files, terminals and window all take it from here."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
from pathlib import Path

from app.acp.messages import INVALID_PARAMS, RESOURCE_NOT_FOUND, RpcError
from app.core.errors import Facts, Rejected

LARGEST_FILE = 32 * 1024 * 1024
NEW_FILE_MODE = 0o644
# A pipe is not waited for, a link not followed, and on Windows nothing is translated.
CAREFUL: int = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_BINARY"))
HANDLES = Path("/proc/self/fd")


class WorkingFolder:
    """A folder, by its real path. Everything else of the machine is outside of it for an agent.

    The methods raise `RpcError` in words for the agent. They read and write files, so call them in a thread.
    """

    def __init__(self, folder: Path) -> None:
        """Raises `Rejected` for what is no folder, and for one whose path no agent can be told."""
        self.path = Path(os.path.realpath(folder))
        try:
            str(self.path).encode()
        except UnicodeEncodeError:
            # JSON, in which agents and the log have it, is UTF-8.
            shown = os.fsencode(self.path).decode("utf-8", "replace")
            raise Rejected(
                f"The path of the folder is not UTF-8: {shown}", Facts(attr="folder"), action="Rename the folder."
            ) from None
        if not self.path.is_dir():
            raise Rejected(f"{folder} is no folder.", Facts(attr="folder"), action="Choose a folder that exists.")

    def resolve(self, path: object) -> Path:
        """The real path of an absolute or relative path of the agent, which need not exist.

        Links and `..` are followed first, so that none leads out.
        """
        if not isinstance(path, str) or not path or "\0" in path:
            raise RpcError(INVALID_PARAMS, "There is no path")
        try:
            real = Path(os.path.realpath(self.path / path))
        except ValueError:
            # Half a character, which no file's name has.
            raise RpcError(INVALID_PARAMS, "There is no such path") from None
        if not real.is_relative_to(self.path):
            raise self._outside(path)
        return real

    def read_text(self, path: object, line: object = None, limit: object = None) -> str:
        """The text of a file, from `line`, which counts from 1, and at most `limit` lines."""
        real = self.resolve(path)
        try:
            handle = os.open(real, os.O_RDONLY | CAREFUL)
        except OSError as failure:
            raise self._failed(path, failure) from None
        try:
            self._check_opened(handle, path)
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise RpcError(INVALID_PARAMS, f"{path} is no file")
            if found.st_size > LARGEST_FILE:
                raise RpcError(INVALID_PARAMS, f"{path} is larger than {LARGEST_FILE:,} bytes")
            with os.fdopen(handle, "rb", closefd=False) as file:
                text = file.read(LARGEST_FILE).decode("utf-8", "replace")
        finally:
            os.close(handle)
        if line is None and limit is None:
            return text
        first = max(line - 1, 0) if isinstance(line, int) else 0
        # A form feed or a separator of Unicode within a line ends none for agents.
        lines = io.StringIO(text, newline="").readlines()
        return "".join(lines[first : first + limit] if isinstance(limit, int) else lines[first:])

    def write_text(self, path: object, content: object) -> None:
        """Write a file in one step, with the mode that it had, and the folders that are missing above it."""
        if not isinstance(content, str):
            raise RpcError(INVALID_PARAMS, "The content is no text")
        real = self.resolve(path)
        data = content.encode("utf-8", "surrogatepass")
        try:
            if real == self.path or real.is_dir():
                raise RpcError(INVALID_PARAMS, f"{path} is a folder")
            real.parent.mkdir(parents=True, exist_ok=True)
            if os.open in os.supports_dir_fd:
                self._write_within(real, data, path)
            else:
                replace_with(real, data)
        except OSError as failure:
            raise self._failed(path, failure) from None

    def _write_within(self, real: Path, data: bytes, path: object) -> None:
        folder = os.open(real.parent, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            # Whoever put a link in the place of a folder since: what was opened is what counts.
            self._check_opened(folder, path)
            replace_with(Path(real.name), data, folder)
        finally:
            os.close(folder)

    def _check_opened(self, handle: int, path: object) -> None:
        if HANDLES.is_dir():
            real = Path(os.readlink(HANDLES / str(handle)))
            if not real.is_relative_to(self.path):
                raise self._outside(path)

    def _outside(self, path: object) -> RpcError:
        text = f"{path} is outside of {self.path}, the only folder that Burrow gives access to"
        return RpcError(INVALID_PARAMS, text)

    def _failed(self, path: object, failure: OSError) -> RpcError:
        code = RESOURCE_NOT_FOUND if isinstance(failure, FileNotFoundError) else INVALID_PARAMS
        return RpcError(code, f"{path}: {failure.strerror or failure}")


def replace_with(path: Path, data: bytes, folder: int | None = None) -> None:
    """Replace a file, with the mode that it had, or make it. `path` is relative to the open `folder`, if there is one.

    Raises `RpcError` for what is no file, OSError.
    """
    try:
        former = os.stat(path, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(former.st_mode):
            raise RpcError(INVALID_PARAMS, f"{path.name} is no file")
        mode = stat.S_IMODE(former.st_mode)
    except FileNotFoundError:
        mode = NEW_FILE_MODE
    # Several writes of one file may be under way.
    temporary = path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CAREFUL, mode, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if folder is not None:
            os.chmod(temporary, mode, dir_fd=folder)
        os.replace(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
