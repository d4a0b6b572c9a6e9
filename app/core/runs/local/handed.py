"""How files go to an agent with a message: as content that it says it takes, else as links to copies that it may read.

https://agentclientprotocol.com/protocol/content. A link is what every agent takes. Log and transcript have links only.
"""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from app.core.errors import StorageTrouble
from app.core.runs.local.pictures import LARGEST, picture_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.core.runs.local.facts import AgentFacts

# In bytes. A longer text fills the context of a model, so the agent reads of it what it needs.
LARGEST_TEXT = 64 * 1024
# What a message carries of files at most, in bytes.
LARGEST_MESSAGE = 16 * 2**20

Block = dict[str, object]


class Handed(NamedTuple):
    """The content blocks of a message as the agent gets them, and as the log has them."""

    blocks: tuple[Mapping[str, object], ...]
    shown: tuple[Mapping[str, object], ...]


def hand_over(text: str, files: Sequence[str], facts: AgentFacts) -> Handed:
    """A message with files, which are paths or addresses. It reads the files, so call it in a thread if there are any.

    Raises `StorageTrouble` for a file that cannot be read.
    """
    said: Block = {"type": "text", "text": text}
    blocks, shown, room = [said], [said], LARGEST_MESSAGE
    for each in files:
        if "://" in each:
            link: Block = {"type": "resource_link", "name": each.rstrip("/").rpartition("/")[2] or each, "uri": each}
            content = None
        else:
            link, content, size = _read(Path(each), facts, room)
            room -= size
        blocks.append(content or link)
        shown.append(link)
    return Handed(tuple(blocks), tuple(shown))


def _read(path: Path, facts: AgentFacts, room: int) -> tuple[Block, Block | None, int]:
    """The link to a file, its content as far as the agent takes that, and the size of the content in bytes."""
    try:
        size = path.stat().st_size
        most = max(LARGEST if facts.images else 0, LARGEST_TEXT if facts.embedded else 0)
        data = path.read_bytes() if size <= min(most, room) else b""
    except OSError as failure:
        raise StorageTrouble(
            f"{path.name} cannot be handed to the agent: {failure.strerror or failure}.", action="Attach it again."
        ) from None
    uri = path.as_uri()
    kind = mimetypes.guess_type(path.name)[0]
    link: Block = {"type": "resource_link", "name": path.name, "uri": uri, "size": size}
    if kind is not None:
        link["mimeType"] = kind
    picture = picture_of(data) if facts.images else None
    if picture is not None:
        encoded = base64.b64encode(data).decode()
        return link, {"type": "image", "mimeType": picture, "data": encoded, "uri": uri}, len(data)
    text = _text(data) if facts.embedded and 0 < size <= LARGEST_TEXT else None
    if text is not None:
        resource = {"uri": uri, "mimeType": kind or "text/plain", "text": text}
        return link, {"type": "resource", "resource": resource}, len(data)
    return link, None, 0


def _text(data: bytes) -> str | None:
    """The text that a file is, None for another one."""
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
