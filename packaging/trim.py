"""What is taken out of the folder that PyInstaller made, and out of its files.

The build machine's Python is not looked for on another machine (`RUNPATH`), a package's description is not read there,
and Qt asks ICU for a third of its data (`icu_data`). Times and permissions of the files do not depend on the machine.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import elf
import icu_data

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM_MODE, FILE_MODE = 0o755, 0o644
ICU_LIBRARY = "libicudata.so.*"
ICU_SYMBOL = "icudt"


def trim(application: Path) -> None:
    """Make the folder smaller. Raises `ElfError` and `IcuDataError` when a library is not as this expects it."""
    for description in application.rglob("*.dist-info/METADATA"):
        # Programs ask for the version; the rest is the page of the package index.
        description.write_bytes(description.read_bytes().partition(b"\n\n")[0] + b"\n")
    if sys.platform == "linux":
        for library in application.rglob("*.so*"):
            if library.is_file() and not library.is_symlink():
                _change(library, elf.without_run_path(library.read_bytes(), sys.base_prefix))
        for library in application.rglob(ICU_LIBRARY):
            content = library.read_bytes()
            _symbol, package = elf.constant(content, ICU_SYMBOL)
            _change(library, elf.with_smaller_constant(content, ICU_SYMBOL, icu_data.smaller(package)))


def _change(file: Path, content: bytes) -> None:
    if content != file.read_bytes():
        file.write_bytes(content)


def level(application: Path, seconds: int, *, programs: Path | None = None) -> None:
    """Give every file the same permissions and times on every machine; `seconds` since 1970.

    `programs` is the folder with the executables, where it is not the application's own.
    """
    programs = programs or application
    for path in [application, *application.rglob("*")]:
        if not path.is_symlink() and os.name == "posix":
            runs = path.is_dir() or ".so" in path.suffixes or (path.parent == programs and os.access(path, os.X_OK))
            path.chmod(PROGRAM_MODE if runs else FILE_MODE)
        if not path.is_symlink() or os.utime in os.supports_follow_symlinks:
            os.utime(path, (seconds, seconds), follow_symlinks=not path.is_symlink())
