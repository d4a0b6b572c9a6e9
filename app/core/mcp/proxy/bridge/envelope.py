"""Envelope: a JSON-RPC message, of which only what its way needs is read; all other bytes stay as they are."""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum
from functools import cached_property
from typing import TypeAlias

import msgspec

from app.core.mcp.proxy.bridge.members import Members, NotAnObject, joined, members, scalar

Key: TypeAlias = Hashable
"""An id or progress token, comparable: 1 and 1.0 are the same, 1 and "1" are not."""

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
PROTOCOL = "io.modelcontextprotocol/protocolVersion"
BOM = b"\xef\xbb\xbf"
# A line break between two members is white space to JSON, and the end of a message on a pipe.
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")

_items = msgspec.json.Decoder(list[msgspec.Raw])


class NotJsonRpc(ValueError):
    """What was read is no message."""


class Kind(Enum):
    """What a message is."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"


class Envelope:
    """A message. `data` are its bytes on one line; `id` are those of its id, empty where it has none."""

    __slots__ = ("__dict__", "data", "id", "key", "kind", "members", "method")

    def __init__(self, data: bytes) -> None:
        """Raises `NotJsonRpc`."""
        self.data = one_line(data)
        try:
            self.members = members(self.data)
        except NotAnObject as problem:
            raise NotJsonRpc(str(problem)) from None
        method = self.members.get("method")
        named = "" if method is None else scalar(method)
        if not isinstance(named, str):
            raise NotJsonRpc("The method is no text.")
        self.method: str = named
        found = self.members.get("id")
        self.id: bytes = b"" if found is None else bytes(found)
        self.key: Key = None if found is None else key_of(found)
        has_id = found is not None and self.key is not None
        if method is not None:
            if found is not None and not has_id:
                raise NotJsonRpc("The id of a request must be a string or a number.")
            self.kind = Kind.REQUEST if has_id else Kind.NOTIFICATION
        elif "result" in self.members or "error" in self.members:
            self.kind = Kind.RESPONSE
        else:
            raise NotJsonRpc("It has neither a method nor a result.")

    @cached_property
    def params(self) -> Members:
        """The members of `params`; none where there are none."""
        return members_of(self.members.get("params"))

    @cached_property
    def meta(self) -> Members:
        """The members of `params._meta`."""
        return members_of(self.params.get("_meta"))

    @property
    def may_have_token(self) -> bool:
        """Whether a progress token may be in it. Most large messages have none, and need not be read for it."""
        return b"progressToken" in self.data or b"\\u" in self.data

    @property
    def is_error(self) -> bool:
        """Whether it is the answer of a request that failed."""
        return "error" in self.members

    def with_id(self, raw: bytes) -> bytes:
        """Its bytes with another id."""
        return self.data if raw == self.id else joined({**self.members, "id": msgspec.Raw(raw)})

    def with_params(self, params: Members, raw_id: bytes | None = None) -> bytes:
        """Its bytes with other parameters, and with another id where one is given."""
        members = {**self.members, "params": msgspec.Raw(joined(params))}
        if raw_id is not None:
            members["id"] = msgspec.Raw(raw_id)
        return joined(members)


def one_line(data: bytes) -> bytes:
    """The bytes of a message without line breaks around or between its parts."""
    data = data.removeprefix(BOM).strip()
    return data.translate(_ONE_LINE) if b"\n" in data or b"\r" in data else data


def read_batch(data: bytes) -> tuple[Envelope, ...]:
    """The messages of a batch (MCP 2025-03-26). Raises `NotJsonRpc`."""
    try:
        items = _items.decode(one_line(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise NotJsonRpc(str(problem)) from None
    return tuple(Envelope(bytes(item)) for item in items)


def is_batch(data: bytes) -> bool:
    """Whether a body is a list of messages."""
    return data.removeprefix(BOM).lstrip()[:1] == b"["


def members_of(raw: msgspec.Raw | None) -> Members:
    """The members of an object; none for anything else."""
    try:
        return {} if raw is None else members(bytes(raw))
    except NotAnObject:
        return {}


def key_of(raw: bytes | msgspec.Raw | None) -> Key:
    """An id as a key; None for what is no id."""
    value = None if raw is None else scalar(raw)
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None
