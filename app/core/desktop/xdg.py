"""The user's files that desktops read: where they are, and how one is replaced.

https://specifications.freedesktop.org/basedir-spec/0.8/
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def config_folder(environment: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME`, usually `~/.config`."""
    return _named(environment, "XDG_CONFIG_HOME", ".config")


def data_home(environment: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME`, usually `~/.local/share`."""
    return _named(environment, "XDG_DATA_HOME", ".local/share")


def shared_folders(environment: Mapping[str, str], variable: str, usual: str) -> list[Path]:
    """The folders of the system that a variable lists, `usual` where it is not set; those named first count more."""
    return [Path(each) for each in (environment.get(variable) or usual).split(":") if os.path.isabs(each)]


def replace_file(file: Path, data: bytes) -> None:
    """Write a file that is whole at any moment. Raises `OSError`.

    A link, as people have who keep such files elsewhere, stays one. What lies at the temporary name is not followed.
    """
    target = Path(os.path.realpath(file))
    beside = target.with_name(f"{target.name}.burrow-new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        with beside.open("xb") as stream:
            stream.write(data)
        beside.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _named(environment: Mapping[str, str], variable: str, usual: str) -> Path:
    # Relative paths are to be ignored, says the base directory specification.
    named = environment.get(variable, "")
    return Path(named) if os.path.isabs(named) else Path(environment.get("HOME") or Path.home()) / usual
