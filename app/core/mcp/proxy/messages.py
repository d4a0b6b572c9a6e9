"""read_post(body) -> Post: the JSON-RPC messages of a client's POST, read strictly, and only as far as their way needs.

Policy and repetition decide by what is read here, and the server reads the same bytes again with a parser of its own.
So whatever two parsers may read differently is refused: names that appear twice in an object, bytes that are no UTF-8,
a byte order mark, constants that are no JSON, and nesting beyond what every parser takes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from app.core.mcp.json_text import DEPTH_LIMIT, WHITE_SPACE, deeper_than, parse_json
from app.core.mcp.proxy.refusals import Refusal, RefusalKind, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

TOOLS_CALL, TOOLS_LIST, INITIALIZE = "tools/call", "tools/list", "initialize"
INITIALIZED, CANCELLED = "notifications/initialized", "notifications/cancelled"
LISTEN = "subscriptions/listen"
# A batch of MCP 2025-03-26. No client sends as many.
MOST_MESSAGES = 100
_MESSAGE_NAMES = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_CALL_NAMES = frozenset({"name", "arguments", "_meta", "task"})
LONGEST_ID = 1_000
# What a number becomes that no double holds.
ENDLESS = (float("inf"), float("-inf"))


class MessageKind(Enum):
    """What a message of a client is."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """`id` is None for a notification, `method` empty for a response. `params` has rounded numbers (`Post.exact`)."""

    kind: MessageKind
    method: str = ""
    id: str | int | float | None = None
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def tool(self) -> str | None:
        """The name of the tool that a `tools/call` calls; None for any other message."""
        return self.params["name"] if self.method == TOOLS_CALL else None


@dataclass(frozen=True)
class Post:
    """The messages of one POST, in their order. `body` are the bytes, as sent."""

    body: bytes = field(repr=False)
    messages: tuple[ClientMessage, ...]
    batch: bool = False

    @property
    def request(self) -> ClientMessage | None:
        """The only request, None for a batch and for what is none."""
        message = self.messages[0]
        return message if not self.batch and message.kind is MessageKind.REQUEST else None

    @property
    def method(self) -> str:
        """That of the only message, empty for a batch and for a response."""
        return "" if self.batch else self.messages[0].method

    @property
    def methods(self) -> frozenset[str]:
        """Those of all messages; that of a response is empty."""
        return frozenset(message.method for message in self.messages)

    @cached_property
    def calls(self) -> tuple[ClientMessage, ...]:
        """Those that call a tool."""
        return tuple([message for message in self.messages if message.method == TOOLS_CALL])

    @cached_property
    def exact(self) -> Any:
        """The value of the body with every number as it was sent. Raises `NotJson`."""
        return parse_json(self.body.decode())


class _Twice(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _value in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1)[:60])
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Made once: `json.loads` with these arguments makes a decoder for each call. `float` reads a number of any length
# quickly, where `int` raises for a long one.
_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)
_LONG_NUMBERS = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant, parse_int=float)


def read_post(body: bytes) -> Post:
    """The messages of a body. Raises `RequestRefused`."""
    value = _value(body)
    if not isinstance(value, list):
        return Post(body, (_message(value),))
    if not value or len(value) > MOST_MESSAGES:
        raise _invalid(f"A batch has 1 to {MOST_MESSAGES} messages.")
    return Post(body, tuple(_message(each) for each in value), batch=True)


def _value(body: bytes) -> Any:
    try:
        text = body.decode()
        try:
            value = _decoded(text)
        except _Twice:
            raise
        except ValueError as problem:
            if isinstance(problem, json.JSONDecodeError):
                raise
            value = _LONG_NUMBERS.decode(text)
    except UnicodeDecodeError:
        raise _unreadable("The body is not UTF-8.") from None
    except _Twice as problem:
        raise _invalid(f"The name “{problem}” appears twice in one object.") from None
    except ValueError as problem:
        raise _unreadable(f"The body is not JSON: {str(problem)[:200]}.") from None
    except RecursionError:
        raise _invalid(f"The body is nested deeper than {DEPTH_LIMIT} levels.") from None
    # Few bodies have as many brackets as levels would take.
    if body.count(b"[") + body.count(b"{") > DEPTH_LIMIT and deeper_than(value, DEPTH_LIMIT):
        raise _invalid(f"The body is nested deeper than {DEPTH_LIMIT} levels.")
    return value


def _decoded(text: str) -> Any:
    """As `_DECODER.decode`, without its two searches for white space around the text, which no client sends."""
    if text[:1] in WHITE_SPACE:
        return _DECODER.decode(text)
    value, end = _DECODER.raw_decode(text)
    if end != len(text) and (rest := text[end:].lstrip(WHITE_SPACE)):
        raise json.JSONDecodeError("Extra data", text, len(text) - len(rest))
    return value


def _message(value: Any) -> ClientMessage:
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        raise _invalid("The body is no message of JSON-RPC 2.0.")
    _check_names(value, _MESSAGE_NAMES)
    if "method" not in value:
        if ("result" in value) == ("error" in value):
            raise _invalid("A message has either a method, or a result, or an error.")
        return ClientMessage(MessageKind.RESPONSE)
    method, params = value["method"], value.get("params", {})
    if not isinstance(method, str):
        raise _invalid("The method is no text.")
    if not isinstance(params, dict):
        raise _invalid("The parameters are no object.")
    if "result" in value or "error" in value:
        raise _invalid("A message has either a method, or a result, or an error.")
    if method == TOOLS_CALL and not isinstance(params.get("name"), str):
        raise _invalid("A call of a tool has no name of the tool.")
    if method == TOOLS_CALL:
        _check_names(params, _CALL_NAMES)
    if "id" not in value:
        if method == TOOLS_CALL:
            # Nobody could answer it, nor refuse it to anybody.
            raise _invalid("A call of a tool has no id.")
        return ClientMessage(MessageKind.NOTIFICATION, method, None, params)
    identity = value["id"]
    if isinstance(identity, bool) or not isinstance(identity, str | int | float) or identity in ENDLESS:
        raise _invalid("The id of a request is a text or a number.")
    if isinstance(identity, str) and len(identity) > LONGEST_ID:
        raise _invalid("The id of a request is too long.")
    return ClientMessage(MessageKind.REQUEST, method, identity, params)


def _check_names(value: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raises `RequestRefused` for a name that some parsers take for one of these (Go's `encoding/json` does)."""
    for name in value.keys() - known:
        if name.casefold() in known:
            raise _invalid(f"“{name[:60]}” is not “{name.casefold()}”.")


def _unreadable(words: str) -> RequestRefused:
    return RequestRefused(Refusal(RefusalKind.UNREADABLE, words))


def _invalid(words: str) -> RequestRefused:
    return RequestRefused(Refusal(RefusalKind.INVALID, words))
