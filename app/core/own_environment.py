"""Gives a frozen process the environment that the person started it with, so that every child process inherits that.

PyInstaller's bootloader puts the program's folder before `LD_LIBRARY_PATH`, starts the process again, and tells itself
about that in `_PYI_…`. The runtime of an AppImage adds `APPIMAGE`, `APPDIR`, `ARGV0` and `OWD`
(https://docs.appimage.org/packaging-guide/environment-variables.html). A browser, an agent or an editor with these
would load Burrow's libraries. The dynamic loader has read `LD_LIBRARY_PATH` by the time this runs and does not look
again (ld.so(8)), so this process still finds its own. Standard library only.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIBRARIES = "LD_LIBRARY_PATH"
# Where the bootloader keeps the value that it found, if it found one.
LIBRARIES_BEFORE = "LD_LIBRARY_PATH_ORIG"
BOOTLOADER_PREFIX = "_PYI_"
# Set by the runtime of an AppImage: the path of the file that was started, and where it is mounted.
APPIMAGE = "APPIMAGE"
APPDIR = "APPDIR"
APPIMAGE_VARIABLES = (APPIMAGE, APPDIR, "ARGV0", "OWD")
# Where the person's other Qt has its plugins.
QT_PLUGINS = ("QT_PLUGIN_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH")

_image = ""


def appimage() -> str:
    """The absolute path of the AppImage that this process was started from, else an empty text."""
    return _image


def give_back() -> None:
    """Make `os.environ` what the person had. Call it in a frozen process, before anything reads the environment."""
    global _image
    _image = appimage_of(os.environ, sys.executable)
    bundle = str(getattr(sys, "_MEIPASS", ""))
    theirs = persons_environment(os.environ, sys.executable, bundle)
    for name in os.environ.keys() - theirs.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in theirs.items() if os.environ[name] != value})
    if sys.platform == "win32":
        import ctypes

        # Child processes inherit the folder that the bootloader names with SetDllDirectory, but none that is added.
        os.add_dll_directory(bundle)
        ctypes.windll.kernel32.SetDllDirectoryW(None)


@contextmanager
def own_qt_plugins() -> Iterator[None]:
    """Make Qt's application object in this block: a frozen process then loads no plugins of another Qt.

    Qt reads these variables once, when it makes that object, and child processes get them as they were.
    """
    frozen = getattr(sys, "frozen", False)
    taken = {name: os.environ.pop(name) for name in QT_PLUGINS if frozen and name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)


def persons_environment(environment: Mapping[str, str], executable: str, bundle: str) -> dict[str, str]:
    """`environment` of a frozen process without what was added to it; `bundle` is the folder of its libraries."""
    theirs = {name: value for name, value in environment.items() if not name.startswith(BOOTLOADER_PREFIX)}
    libraries = theirs.get(LIBRARIES)
    if libraries == bundle:
        # They had none; what the other variable says is older than this process.
        del theirs[LIBRARIES]
    elif libraries is not None and libraries.startswith(bundle + os.pathsep):
        theirs[LIBRARIES] = libraries[len(bundle + os.pathsep) :]
        theirs.pop(LIBRARIES_BEFORE, None)
    if appimage_of(environment, executable):
        for name in APPIMAGE_VARIABLES:
            theirs.pop(name, None)
    return theirs


def appimage_of(environment: Mapping[str, str], executable: str) -> str:
    """The AppImage that `executable` is mounted from; an empty text where the variables are those of another one."""
    image, mounted = environment.get(APPIMAGE, ""), environment.get(APPDIR, "")
    if not (os.path.isabs(image) and os.path.isabs(mounted)):
        return ""
    return image if Path(executable).resolve().is_relative_to(Path(mounted).resolve()) else ""
