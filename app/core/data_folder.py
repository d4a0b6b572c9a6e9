"""Where all state of Burrow lives. A start looks there whether a window runs, before it loads anything else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.core.errors import StorageTrouble

DATA_VARIABLE = "BURROW_DATA"


def data_folder(chosen: str | None = None) -> Path:
    """Where all state lives: `--data`, else `BURROW_DATA`, else the platform's place for an application's data.

    Raises `StorageTrouble` when the user's home is not known.
    """
    named = chosen or os.environ.get(DATA_VARIABLE)
    if named:
        try:
            return Path(named).expanduser().absolute()
        except (RuntimeError, OSError) as failure:
            raise _trouble(f"{named} cannot be found: {failure}") from None
    import platformdirs

    cause = "Your home folder is not known, so there is no place for Burrow's data."
    # An empty `HOME` would mean the root of all folders.
    if os.name == "posix" and os.environ.get("HOME") == "" and not os.environ.get("XDG_DATA_HOME"):
        raise _trouble(cause)
    try:
        folder = Path(platformdirs.user_data_dir("Burrow", appauthor=False))
    except RuntimeError:
        raise _trouble(cause) from None
    # A relative `XDG_DATA_HOME` would mean another folder for each place that Burrow is started in.
    if not folder.is_absolute():
        raise _trouble(cause)
    return folder


def _trouble(cause: str) -> StorageTrouble:
    # The errors take longer to import than all else that a start needs before it hands over.
    from app.core.errors import StorageTrouble

    return StorageTrouble(cause, action=f"Name a folder with --data or {DATA_VARIABLE}, by its whole path.")
