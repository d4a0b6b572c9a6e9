"""Results as values: binary content as servers write it, and answers of any shape."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.core.mcp.results.blocks import AudioBlock, ImageBlock, OtherBlock, ResourceBlock, UndecodedBlock
from app.core.mcp.results.media import decode, sniff
from app.core.mcp.results.parsing import block, call_result, resource_blocks

# Bytes whose base64 has both characters that the URL-safe alphabet replaces, and padding.
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) + b"\xfb\xff\xfe\x00"
TEXT = base64.b64encode(PNG).decode()

JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
BLOCK = some.fixed_dictionaries(
    {"type": some.sampled_from(["text", "image", "audio", "resource", "resource_link", "hologram"]) | JSON},
    optional=dict.fromkeys(("text", "data", "mimeType", "uri", "name", "title", "resource", "blob"), JSON),
)


def in_lines(text: str) -> str:
    return "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))


@pytest.mark.parametrize(
    "sent",
    [
        TEXT,
        TEXT.rstrip("="),
        TEXT.replace("+", "-").replace("/", "_"),
        TEXT.replace("+", "-").replace("/", "_").rstrip("="),
        in_lines(TEXT),
        f"  {TEXT}\n",
        f"data:image/png;base64,{TEXT}",
        f"data:image/png;charset=utf-8;BASE64,{in_lines(TEXT)}",
        f"data:;base64,{TEXT.replace('+', '%2B').replace('=', '%3D')}",
    ],
)
def test_base64_is_read_as_servers_write_it(sent: str) -> None:
    assert block({"type": "image", "data": sent, "mimeType": "image/png"}) == ImageBlock(PNG, "image/png")


@pytest.mark.parametrize("sent", ["not base64!", "A", "QUJD\u200bRA==", "QU=JD", "{}"])
def test_what_is_no_base64_keeps_its_text(sent: str) -> None:
    assert block({"type": "image", "data": sent}) == UndecodedBlock("image", sent)
    assert resource_blocks({"contents": [{"uri": "a:b", "blob": sent, "mimeType": "x/y"}]}) == (
        UndecodedBlock("resource", sent, "x/y", "a:b"),
    )


@given(some.binary(max_size=200))
def test_any_bytes_survive_each_way_of_writing_them(data: bytes) -> None:
    for text in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
        for written in (text.decode(), text.decode().rstrip("=")):
            found = decode(written)
            assert found is not None
            assert found.data == data


@pytest.mark.parametrize("claimed", ["", "image/jpeg", "application/octet-stream", "IMAGE/PNG; charset=binary"])
def test_the_first_bytes_say_what_it_is(claimed: str) -> None:
    assert block({"type": "image", "data": TEXT, "mimeType": claimed}) == ImageBlock(PNG, "image/png")
    assert block({"type": "image", "data": TEXT}) == ImageBlock(PNG, "image/png")
    sound = b"RIFF\x00\x00\x00\x00WAVEfmt "
    assert block({"type": "audio", "data": base64.b64encode(sound).decode()}) == AudioBlock(sound, "audio/wav")
    (read,) = resource_blocks({"contents": [{"uri": "a:b", "blob": TEXT, "mimeType": claimed}]})
    assert read == ResourceBlock("a:b", blob=PNG, mime="image/png")


def test_bytes_of_no_known_kind_keep_the_type_that_the_server_names() -> None:
    found = block({"type": "image", "data": "aGk=", "mimeType": "Image/X-Own; a=b"})
    assert found == ImageBlock(b"hi", "image/x-own")
    assert block({"type": "image", "data": "data:image/x-own;base64,aGk="}) == found


@pytest.mark.parametrize(
    "drawing",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\xef\xbb\xbf\n <?xml version='1.0'?><!-- a --><!DOCTYPE svg [<!ENTITY a 'b'>]>\n<svg>",
        b"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>",
        "<?xml version='1.0' encoding='utf-16'?><svg/>".encode("utf-16"),
    ],
)
def test_a_drawing_is_told_from_a_picture_whatever_it_is_called(drawing: bytes) -> None:
    assert sniff(drawing) == "image/svg+xml"
    sent = base64.b64encode(drawing).decode()
    assert block({"type": "image", "data": sent, "mimeType": "image/png"}) == ImageBlock(drawing, "image/svg+xml")


def test_a_compressed_drawing_is_not_a_picture() -> None:
    packed = gzip.compress(b"<svg/>")
    sent = base64.b64encode(packed).decode()
    assert block({"type": "image", "data": sent, "mimeType": "image/png"}) == ImageBlock(packed, "application/gzip")
    assert block({"type": "image", "data": sent, "mimeType": "image/svg+xml"}) == ImageBlock(packed, "image/svg+xml")


@given(JSON | some.fixed_dictionaries({}, optional={"content": some.lists(BLOCK | JSON, max_size=4) | JSON}))
def test_an_answer_of_any_shape_becomes_a_result(raw: Any) -> None:
    result = call_result(raw, 0.1)
    content = raw.get("content") if isinstance(raw, dict) else None
    assert len(result.blocks) == (
        len(content) if isinstance(content, list) else 0 if content is None and isinstance(raw, dict) else 1
    )


def test_a_deeply_nested_answer_becomes_a_result() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert call_result({"content": [deep], "structuredContent": deep}, 0).blocks == (OtherBlock(deep),)
