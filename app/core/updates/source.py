"""UpdateSource: where this build gets updates from and whom it trusts; or why it has none.

A build says so by two files beside the executable (in a bundle for macOS: in `Resources`): `updates.json` with the
address, `{"url": "https://…"}`, and `updates-root.json`, the root metadata that everything is verified from (The Update
Framework, section 5.2). `packaging/updates/trust.py` writes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from app.core.installation import InstallKind
from app.core.urls import is_confidential

if TYPE_CHECKING:
    from pathlib import Path

    from app.core.installation import InstalledApp

ADDRESS_FILE, ROOT_FILE = "updates.json", "updates-root.json"
LARGEST_FILE = 512_000
# These replace themselves. The others belong to a package manager, to git, or to whoever unpacked them.
REPLACEABLE = frozenset({InstallKind.APPIMAGE, InstallKind.WINDOWS, InstallKind.MACOS})


class WhyOff(Enum):
    """Why there are no updates here. The values are the names in records and in the command line's data."""

    MANAGED = "managed"
    SOURCE = "source"
    FOLDER = "folder"
    NO_SOURCE = "no source"
    BROKEN_SOURCE = "broken source"
    CHOSEN = "chosen"


@dataclass(frozen=True, slots=True)
class UpdateSource:
    """`url` ends in a slash and has the folders `metadata` and `targets` below it. `root` is the trusted metadata."""

    url: str
    root: bytes

    @property
    def metadata_url(self) -> str:
        return f"{self.url}metadata/"

    @property
    def targets_url(self) -> str:
        return f"{self.url}targets/"


def source_of(installed: InstalledApp) -> UpdateSource | WhyOff:
    """The source that the build of this installation names."""
    if installed.managed:
        return WhyOff.MANAGED
    if installed.kind is InstallKind.SOURCE:
        return WhyOff.SOURCE
    if installed.kind not in REPLACEABLE or installed.folder is None:
        return WhyOff.FOLDER
    for folder in (installed.folder, installed.folder.parent / "Resources"):
        if (folder / ADDRESS_FILE).is_file():
            return _read(folder)
    return WhyOff.NO_SOURCE


def _read(folder: Path) -> UpdateSource | WhyOff:
    try:
        url = json.loads(_content(folder / ADDRESS_FILE))["url"]
        root = _content(folder / ROOT_FILE)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return WhyOff.BROKEN_SOURCE
    if not isinstance(url, str) or not is_confidential(url) or "?" in url or "#" in url:
        return WhyOff.BROKEN_SOURCE
    return UpdateSource(url if url.endswith("/") else f"{url}/", root)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST_FILE)
