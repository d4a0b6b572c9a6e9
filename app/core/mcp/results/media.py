"""What binary content is: base64 as servers write it, and the media type that its first bytes show.

Servers send `data:` addresses, line breaks, the URL-safe alphabet and no padding (RFC 4648, RFC 2397), and name the
media type wrongly or not at all. The first bytes decide (WHATWG MIME Sniffing, section 6).
"""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

SVG = "image/svg+xml"
GZIP = "application/gzip"
# The pictures that are drawn. Each is a grid of pixels: a drawing language such as SVG can name files and addresses.
RASTER = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "image/tiff": "tiff",
    "image/x-icon": "ico",
}
# At which place which bytes say which media type.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"\x00\x00\x01\x00", "image/x-icon"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", GZIP),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
# A bitmap begins with two letters that a text may begin with too; the size of its header follows later.
_BITMAP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
# What may stand before the root element of an XML document, and how far is looked.
_SVG_ROOT = re.compile(rb"<(?:[\w.-]{1,40}:)?svg[\s>/]", re.IGNORECASE)
_LOOKED_AT = 4096
_DATA_URL = re.compile(r"\s*data:([^,]*),", re.IGNORECASE)
_SPACES = re.compile(r"[\t\n\f\r ]+")
_ALPHABETS = str.maketrans("-_", "+/")


class Decoded(NamedTuple):
    """The bytes, and the media type that a `data:` address named; empty where it named none."""

    data: bytes
    mime: str


def decode(text: str) -> Decoded | None:
    """The bytes of a base64 text as servers write it; None when it is none."""
    mime, body = "", text
    if (prefix := _DATA_URL.match(text)) is not None:
        kind, *marks = [part.strip() for part in prefix[1].split(";")]
        mime, body = media_type(kind), text[prefix.end() :]
        if not any(mark.lower() == "base64" for mark in marks):
            return Decoded(unquote_to_bytes(body), mime)
        body = unquote(body)
    body = _SPACES.sub("", body).translate(_ALPHABETS).rstrip("=")
    try:
        # Strict: else invalid characters are skipped, and a broken picture would be shown as if it were whole.
        data = binascii.a2b_base64(body + "=" * (-len(body) % 4), strict_mode=True)
    except ValueError:
        return None
    return Decoded(data, mime)


def media_type(text: str) -> str:
    """A media type in lower case, without its parameters."""
    return text.partition(";")[0].strip().lower()


def sniff(data: bytes) -> str:
    """The media type that the first bytes show; empty when they show none that is known."""
    for at, magic, mime in _MAGIC:
        if data.startswith(magic, at):
            return mime
    if data.startswith(b"RIFF"):
        return _RIFF.get(data[8:12], "")
    if data.startswith(b"BM") and len(data) > 18 and int.from_bytes(data[14:18], "little") in _BITMAP_HEADERS:
        return "image/bmp"
    return SVG if _is_svg(data) else ""


def actual_type(data: bytes, claimed: str) -> str:
    """The media type of `data`: what its bytes show, else what the server claims, in lower case."""
    claimed = media_type(claimed)
    found = sniff(data)
    # Compressed SVG has the media type of SVG and the bytes of gzip.
    return claimed if found == GZIP and claimed == SVG else found or claimed


def _is_svg(data: bytes) -> bool:
    head = data[:_LOOKED_AT]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "ignore").encode()
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return head.startswith(b"<") and _SVG_ROOT.search(head) is not None
