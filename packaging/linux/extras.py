"""The files for the desktop and the shell that every Linux package has below `share`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from linux import commands, completion, icons, manual, metainfo
from linux.stage import write_gzip

if TYPE_CHECKING:
    from linux.about import Release

HERE = Path(__file__).resolve().parent
COMPLETIONS = {
    "bash-completion/completions/burrow": completion.bash,
    "zsh/vendor-completions/_burrow": completion.zsh,
    "fish/vendor_completions.d/burrow.fish": completion.fish,
}


def write(share: Path, release: Release) -> None:
    """Everything that is the same in all packages, laid out as below /usr/share.

    A distributor's addresses come from BURROW_HOMEPAGE and BURROW_SCREENSHOT.
    """
    _file(share / "applications" / "burrow.desktop", (HERE / "burrow.desktop").read_text("utf-8"))
    addresses = (os.environ.get("BURROW_HOMEPAGE", ""), os.environ.get("BURROW_SCREENSHOT", ""))
    _file(share / "metainfo" / "burrow.metainfo.xml", metainfo.document(release, *addresses).decode())
    root = commands.burrow()
    write_gzip(share / "man" / "man1" / "burrow.1.gz", manual.page(root, release).encode())
    for name, script in COMPLETIONS.items():
        _file(share / name, script(root))
    icons.write(share / "icons" / "hicolor")


def _file(path: Path, words: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(words, "utf-8")
