"""The application's folder as Windows sees it: names it cannot hold, too long paths, and the lists for NSIS."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file: these name devices, with any extension too.
RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
FORBIDDEN = frozenset('<>:"\\|?*')
# MAX_PATH counts the final zero. An account's name has at most 20 characters, and an upgrade moves the folder to
# `Burrow.previous` for a while.
MAX_PATH = 260
LONGEST_HOME = r"C:\Users" + "\\" + "n" * 20 + r"\AppData\Local\Programs\Burrow.previous" + "\\"


def files_of(folder: Path) -> list[Path]:
    """Every file below `folder`, relative to it, sorted the same on every platform."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()]
    return sorted(found, key=lambda path: path.as_posix())


def troubles(files: list[Path]) -> list[str]:
    """Why Windows could not hold these files: one sentence for each."""
    found = []
    for path in files:
        for part in path.parts:
            if part.split(".")[0].lower() in RESERVED:
                found.append(f"{path.as_posix()}: {part} names a device on Windows")
            if FORBIDDEN & set(part) or part[-1] in " ." or min(part) < " ":
                found.append(f"{path.as_posix()}: {part!r} is no file name on Windows")
        length = len(LONGEST_HOME) + len(str(path))
        if length >= MAX_PATH:
            found.append(f"{path.as_posix()}: {length} characters when installed, and Windows allows {MAX_PATH - 1}")
    entries = {entry.as_posix() for path in files for entry in (path, *path.parents)}
    counted = Counter(entry.lower() for entry in entries)
    found += [f"{name}: two names that differ only in case" for name, count in sorted(counted.items()) if count > 1]
    return found


def file_lists(folder: Path) -> str:
    """The macros `INSTALL_FILES` and `UNINSTALL_FILES` of installer.nsi, for exactly the files of `folder`.

    Uninstalling deletes by name, and a folder only when it is empty: what a person put beside stays.
    """
    files = files_of(folder)
    lines = ["!macro INSTALL_FILES"]
    current = None
    for path in files:
        if path.parent != current:
            current = path.parent
            lines.append(f'  SetOutPath "{_installed(current)}"')
        lines.append(f'  File "/oname={_literal(path.name)}" "{folder / path}"')
    lines += ["!macroend", "!macro UNINSTALL_FILES"]
    lines += [f'  Delete "{_installed(path)}"' for path in files]
    folders = {parent for path in files for parent in path.parents if parent != Path()}
    # The deepest first.
    ordered = sorted(folders, key=lambda path: (-len(path.parts), path.as_posix()))
    lines += [f'  RMDir "{_installed(path)}"' for path in ordered]
    return "\n".join([*lines, "!macroend", ""])


def _installed(path: Path) -> str:
    return "\\".join(["$INSTDIR", *(_literal(part) for part in path.parts)])


def _literal(text: str) -> str:
    """Text as it is, where NSIS would see a variable or a quote."""
    return text.replace("$", "$$").replace('"', '$\\"')
