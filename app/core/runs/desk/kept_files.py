"""Files that go with messages to an agent of this machine, kept where it can read them."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from app.core.private import make_private_folder, open_private

if TYPE_CHECKING:
    from pathlib import Path

FILES = "files"


def keep_file(folder: Path, name: str, content: bytes) -> str:
    """Each file has a folder of its own, so that it can keep its name."""
    place = folder / hashlib.sha256(content).hexdigest()[:16]
    make_private_folder(place)
    path = place / (os.path.basename(name.replace("\\", "/")).lstrip(".") or "file")
    with open(path, "wb", opener=open_private) as file:
        file.write(content)
    return str(path)
