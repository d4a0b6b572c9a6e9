"""JSON-RPC 2.0 messages: from lines to values and back, for a side that others may have written carelessly.

Whatever is no message becomes a `Stray`, so that an agent that logs to standard output is still understood.
https://www.jsonrpc.org/specification
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeAlias

    RequestId: TypeAlias = str | int | float

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REQUEST_CANCELLED = -32800
"""A request ended by `$/cancel_request` (https://agentclientprotocol.com/protocol/cancellation)."""
AUTH_REQUIRED = -32000
RESOURCE_NOT_FOUND = -32002

# How much of a message a notice shows.
EXCERPT = 400


class RpcError(Exception):
    """An error answer. `data` is what it says beside code and message, None without."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.data = data


class PeerClosed(Exception):
    """The other side is gone. The text is a sentence that says why."""


class PeerBroken(PeerClosed):
    """The other side does not keep to the protocol, so the conversation cannot go on."""


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """A question that wants an answer."""

    method: str
    params: dict[str, object]
    id: RequestId


@dataclass(frozen=True, slots=True)
class IncomingNotification:
    """Something told, without an answer."""

    method: str
    params: dict[str, object]


@dataclass(frozen=True, slots=True)
class IncomingAnswer:
    """The answer to the request `id`, None where it names no number of ours. `raw` is the whole of it."""

    id: int | None
    raw: dict[str, object]
    result: dict[str, object] = field(default_factory=dict)
    error: RpcError | None = None

    @property
    def strange(self) -> bool:
        """Whether its result is neither an object nor null."""
        return self.error is None and not isinstance(self.raw.get("result"), (dict, type(None)))


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request that is answered with an error at once, for it is no proper one."""

    id: RequestId
    error: RpcError


@dataclass(frozen=True, slots=True)
class StrayText:
    """A line, or a part of one, that is no message."""

    text: str


if TYPE_CHECKING:
    Message: TypeAlias = IncomingRequest | IncomingNotification | IncomingAnswer | RefusedRequest | StrayText


def encode(message: Mapping[str, object]) -> bytes:
    """The line of a message. Raises TypeError or ValueError for what JSON cannot say."""
    try:
        return _text(message, escaped=False).encode() + b"\n"
    except UnicodeEncodeError:
        # A surrogate by itself, as of a file's name that is no UTF-8. JSON can say it, UTF-8 cannot.
        return _text(message, escaped=True).encode() + b"\n"


def _text(message: Mapping[str, object], *, escaped: bool) -> str:
    return json.dumps(message, ensure_ascii=escaped, separators=(",", ":"), allow_nan=False)


def decode(line: bytes) -> Iterator[Message]:
    """The messages of a line: none of an empty one, several of a batch."""
    # A byte order mark comes from programs of Windows.
    text = line.decode("utf-8", "replace").strip().removeprefix("\ufeff")
    if not text:
        return
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        yield StrayText(text[:EXCERPT])
        return
    for each in value if isinstance(value, list) else (value,):
        yield _message(each)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _message(value: object) -> Message:
    if not isinstance(value, dict):
        return StrayText(excerpt(value))
    if "method" in value:
        return _call(value)
    if "id" in value and ("result" in value or "error" in value):
        return _answer(value)
    return StrayText(excerpt(value))


def _call(value: dict[str, object]) -> Message:
    method, params, request_id = value["method"], value.get("params"), value.get("id")
    # A null id is what careless libraries send with notifications.
    if request_id is not None and not _is_id(request_id):
        return StrayText(excerpt(value))
    wrong = None
    if not isinstance(method, str):
        wrong = RpcError(INVALID_REQUEST, "The method is no text")
    elif params is not None and not isinstance(params, dict):
        wrong = RpcError(INVALID_PARAMS, "The params are no object")
    if wrong is not None:
        return StrayText(excerpt(value)) if request_id is None else RefusedRequest(_as_id(request_id), wrong)
    assert isinstance(method, str)
    members = params if isinstance(params, dict) else {}
    return (
        IncomingNotification(method, members)
        if request_id is None
        else IncomingRequest(method, members, _as_id(request_id))
    )


def _answer(value: dict[str, object]) -> Message:
    number = _own_number(value["id"])
    error, result = value.get("error"), value.get("result")
    if error is not None:
        return IncomingAnswer(number, value, error=_rpc_error(error))
    return IncomingAnswer(number, value, result if isinstance(result, dict) else {})


def _rpc_error(error: object) -> RpcError:
    if not isinstance(error, dict):
        return RpcError(INTERNAL_ERROR, excerpt(error))
    code, message = error.get("code"), error.get("message")
    if not isinstance(code, int) or isinstance(code, bool):
        code = INTERNAL_ERROR
    return RpcError(code, message if isinstance(message, str) else excerpt(error), error.get("data"))


def _is_id(value: object) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _as_id(value: object) -> RequestId:
    assert isinstance(value, (str, int, float))
    return value


def _own_number(value: object) -> int | None:
    """The number of a request of ours; some libraries give it back as text or with a fraction of zero."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return None


def excerpt(value: object) -> str:
    """The beginning of a value as JSON, without what is inside of its members."""
    shown = {name: _shallow(each) for name, each in value.items()} if isinstance(value, dict) else _shallow(value)
    return json.dumps(shown, ensure_ascii=False)[:EXCERPT]


def _shallow(value: object) -> object:
    if isinstance(value, str):
        return value[:EXCERPT]
    return "…" if isinstance(value, (dict, list)) else value
