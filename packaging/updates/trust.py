"""Writes into a built application where it gets updates from and whom it trusts (`app/core/updates/source.py`).

`BURROW_UPDATE_URL` is the address of the repository, `BURROW_UPDATE_ROOT` the path of its root metadata. A build
without them has updates off. Standard library only.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

URL_VARIABLE, ROOT_VARIABLE = "BURROW_UPDATE_URL", "BURROW_UPDATE_ROOT"
ADDRESS_FILE, ROOT_FILE = "updates.json", "updates-root.json"


def write_trust(folder: Path) -> bool:
    """Write both files into `folder`, beside the executable (macOS: `Contents/Resources`). Whether there is a source.

    Not to be called for a deb or rpm: a package manager updates those. Raises `SystemExit` for half of a source, for an
    address without TLS, and for a root that is none.
    """
    url, root = os.environ.get(URL_VARIABLE, ""), os.environ.get(ROOT_VARIABLE, "")
    if not url and not root:
        return False
    if not url or not root:
        raise SystemExit(f"{URL_VARIABLE} and {ROOT_VARIABLE} belong together.")
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise SystemExit(f"{URL_VARIABLE} is no address with https.")
    content = Path(root).read_bytes()
    try:
        is_root = json.loads(content)["signed"]["_type"] == "root"
    except (ValueError, KeyError, TypeError):
        is_root = False
    if not is_root:
        raise SystemExit(f"{ROOT_VARIABLE} names no root metadata.")
    (folder / ADDRESS_FILE).write_text(json.dumps({"url": url}) + "\n", encoding="utf-8")
    (folder / ROOT_FILE).write_bytes(content)
    return True
