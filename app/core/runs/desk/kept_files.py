"""Files that go with messages to an agent of this machine, kept where it may read them (`FILES` of `record.py`)."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from typing import TYPE_CHECKING

from app.core.errors import StorageTrouble
from app.core.private import make_private_folder, open_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from app.core.posthog.run_files import RunFile

# In bytes. File systems take 255, and agents add to a name.
LONGEST_NAME = 200
_UNUSABLE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\u202a-\u202e\u2066-\u2069]')


def keep_file(folder: Path, name: str, content: bytes) -> str:
    """Store a file; returns its path. Each has a folder of its own, so that it can keep its name. Raises `OSError`."""
    place = folder / hashlib.sha256(content).hexdigest()[:16]
    make_private_folder(place)
    path = place / usable_name(name)
    with open(path, "wb", opener=open_private) as file:
        file.write(content)
    return str(path)


async def keep_files(folder: Path, files: Iterable[RunFile]) -> tuple[str, ...]:
    """Store files of a task; returns their paths. Raises `StorageTrouble` for one that cannot be read or stored."""
    kept = []
    for each in files:
        content = await asyncio.to_thread(each.read)
        try:
            kept.append(await asyncio.to_thread(keep_file, folder, each.name, content))
        except OSError as failure:
            raise StorageTrouble(f"{each.name} cannot be stored: {failure.strerror or failure}.") from None
    return tuple(kept)


def usable_name(name: str) -> str:
    """A name as every system has it: without folders, without what directs text or terminals, not too long."""
    last = _UNUSABLE.sub("_", os.path.basename(name.replace("\\", "/"))).strip(" .") or "file"
    stem, ending = os.path.splitext(last)
    ending = ending.encode()[:LONGEST_NAME].decode(errors="ignore")
    return stem.encode()[: LONGEST_NAME - len(ending.encode())].decode(errors="ignore") + ending
