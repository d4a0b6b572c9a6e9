"""The Debian package's `copyright` (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/), from the texts
that the one-folder build carries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = "https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
PLACE = "opt/burrow"
ROW = re.compile(r"^\| (\S+) \| \S+ \| (.+) \|$", re.MULTILINE)
HOLDER = re.compile(r"^\W*copyright\b(?: |:)*((?:\(c\)|©|\d{4}).*)$", re.IGNORECASE | re.MULTILINE)
OWN = ("PySide6_Essentials", "shiboken6")
QT_HOLDER = "The Qt Company Ltd. and other contributors"


def document(application: Path) -> str:
    """One paragraph for Burrow, one for Qt, one for each package inside, and the licences that they name."""
    licences = application / "licences"
    rows = [row for row in ROW.findall((licences / "THIRD_PARTY.md").read_text("utf-8")) if row[0] != "package"]
    rows = [row for row in rows if row[0] not in OWN]
    own = "\n".join(
        f" {line}" if line else " ." for line in (application / "LICENSE").read_text("utf-8").splitlines()[4:]
    )
    comment = "The texts and notices of everything inside are in /opt/burrow/licences and /opt/burrow/NOTICES.md."
    python = f"{PLACE}/_internal/libpython* {PLACE}/_internal/python3*"
    lgpl = "The text is in /usr/share/common-licenses/LGPL-3, that of the GPL in /usr/share/common-licenses/GPL-3."
    parts = [
        f"Format: {FORMAT}\nUpstream-Name: Burrow\nComment: {comment}",
        "Files: *\nCopyright: 2026 The Burrow authors\nLicense: Expat",
        f"Files: {PLACE}/_internal/PySide6/* {PLACE}/_internal/shiboken6/*\nCopyright: {QT_HOLDER}\nLicense: LGPL-3",
        f"Files: {python}\nCopyright: 2001-2026 Python Software Foundation\nLicense: Python",
        *(_files(licences, name, licence) for name, licence in rows),
        f"License: Expat\n{own}",
        f"License: LGPL-3\n {lgpl}",
        "License: Python\n The text is in /opt/burrow/licences/CPython.txt.",
        *_texts(rows),
    ]
    return "\n\n".join(parts) + "\n"


def _files(licences: Path, name: str, licence: str) -> str:
    texts = sorted((licences / name).glob("*")) if (licences / name).is_dir() else []
    found = [line.strip() for text in texts for line in HOLDER.findall(text.read_text("utf-8", "replace"))]
    holders = list(dict.fromkeys(found)) or [f"the authors of {name}"]
    folder = name.lower().replace("-", "_").replace(".", "/")
    lines = "\n ".join(holders)
    return (
        f"Files: {PLACE}/_internal/{folder}* {PLACE}/licences/{name}/*\nCopyright: {lines}\nLicense: {_short(licence)}"
    )


def _texts(rows: list[tuple[str, str]]) -> Iterator[str]:
    by_name: dict[str, list[str]] = {}
    for name, licence in rows:
        by_name.setdefault(_short(licence), []).append(f"/opt/burrow/licences/{name}")
    for short, places in by_name.items():
        listed = "\n".join(f"  {place}" for place in places)
        yield f"License: {short}\n The texts are in\n{listed}"


def _short(licence: str) -> str:
    """One word: the format's short names have no spaces."""
    return re.sub(r"[^A-Za-z0-9.+]+", "-", licence).strip("-")
