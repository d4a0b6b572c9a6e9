"""The messages that pass through the shim, read only as far as their way needs: ids, methods, and what is an answer.

JSON-RPC 2.0; MCP, "Transports", stdio: a message is one line. What is strict about a message is the proxy's to check.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from app.core.mcp.proxy.refusals import INVALID_REQUEST, PARSE_ERROR, TYPE_PREFIX, RefusalKind

if TYPE_CHECKING:
    from collections.abc import Iterator

CANCELLED, INITIALIZE, INITIALIZED = "notifications/cancelled", "initialize", "notifications/initialized"
# A program sends these once, at its start, and gives up when they fail.
OPENINGS = frozenset({INITIALIZE, "server/discover"})
# They only read, so they may run twice.
READING = frozenset(
    {
        *OPENINGS,
        *("ping", "tools/list", "prompts/list", "resources/list", "resources/templates/list"),
        *("resources/read", "prompts/get", "completion/complete"),
    }
)
_KINDS = {TYPE_PREFIX + kind.value: kind for kind in RefusalKind}


class NoMessage(Exception):
    """Something is no message. `answer` tells the program so."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.answer = error_line(None, code, words)


@dataclass(frozen=True)
class ProgramMessage:
    """A message, or a batch of them, of the program.

    `body` is what was sent. `ids` has the id of each request in it by its JSON text. `method` and `params` are those of
    the only message, empty for a batch and for an answer.
    """

    body: bytes = field(repr=False)
    ids: dict[str, Any] = field(default_factory=dict)
    method: str = ""
    params: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class ServerMessage:
    """A message, or a batch of them, of the server. `line` is one line. `answers` are the ids of what it answers.

    `result` and `error` are those of the only message, empty where there is none.
    """

    line: bytes = field(repr=False)
    answers: frozenset[str]
    result: dict[str, Any] = field(default_factory=dict, repr=False)
    error: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def refusal(self) -> RefusalKind | None:
        """Why the proxy refused the request; None where it did not."""
        data = self.error.get("data")
        kind = data.get("type") if isinstance(data, dict) else None
        return _KINDS.get(kind) if isinstance(kind, str) else None


def read_program_message(line: bytes) -> ProgramMessage:
    """A line of the program. Raises `NoMessage`."""
    value = _value(line)
    messages = value if isinstance(value, list) else [value]
    if not messages:
        raise NoMessage(INVALID_REQUEST, "A batch has at least one message.")
    ids: dict[str, Any] = {}
    for message in messages:
        if not isinstance(message, dict):
            raise NoMessage(INVALID_REQUEST, "A message is an object.")
        if "method" in message and "id" in message:
            if isinstance(message["id"], bool) or not isinstance(message["id"], str | int | float):
                raise NoMessage(INVALID_REQUEST, "The id of a request is a text or a number.")
            ids[key_of(message["id"])] = message["id"]
    if isinstance(value, list):
        return ProgramMessage(line, ids)
    method, params = value.get("method"), value.get("params")
    return ProgramMessage(
        line, ids, method if isinstance(method, str) else "", params if isinstance(params, dict) else {}
    )


def read_server_message(data: bytes) -> ServerMessage | None:
    """What a server sent, in one line; None when it is no message."""
    try:
        value = _value(data)
    except NoMessage:
        return None
    messages = value if isinstance(value, list) else [value]
    if not messages or not all(isinstance(message, dict) for message in messages):
        return None
    answers = frozenset(key_of(each["id"]) for each in messages if "id" in each and "method" not in each)
    # Between the parts of JSON a line end is as good as a space, and inside of a text there is none.
    line = data.strip().replace(b"\r", b" ").replace(b"\n", b" ")
    if isinstance(value, list):
        return ServerMessage(line, answers)
    return ServerMessage(line, answers, _object(value.get("result")), _object(value.get("error")))


def key_of(identity: Any) -> str:
    """The JSON text of an id: 1 and "1" are two ids."""
    return json.dumps(identity)


def error_line(identity: Any, code: int, words: str, data: dict[str, Any] | None = None) -> bytes:
    """An answer that tells of an error."""
    error = {"code": code, "message": words, **({} if data is None else {"data": data})}
    return json.dumps({"jsonrpc": "2.0", "id": identity, "error": error}).encode()


def words_of(body: bytes) -> str:
    """What an answer that is no message says, in one line."""
    try:
        value = _value(body[:65536])
    except NoMessage:
        value = None
    error = value.get("error") if isinstance(value, dict) else None
    words = error.get("message") if isinstance(error, dict) else error
    return " ".join((words if isinstance(words, str) else body[:300].decode("utf-8", "replace")).split())


def answer_lines(ids: dict[str, Any], error: dict[str, Any]) -> Iterator[bytes]:
    """The same error as the answer to each of these requests."""
    for identity in ids.values():
        yield json.dumps({"jsonrpc": "2.0", "id": identity, "error": error}).encode()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _value(data: bytes) -> Any:
    try:
        return json.loads(data.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise NoMessage(PARSE_ERROR, "The message is not UTF-8.") from None
    except ValueError as problem:
        raise NoMessage(PARSE_ERROR, f"The message is not JSON: {str(problem)[:200]}.") from None
    except RecursionError:
        raise NoMessage(PARSE_ERROR, "The message is nested too deeply.") from None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
