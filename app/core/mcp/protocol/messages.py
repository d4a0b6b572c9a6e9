"""Reading what a server sent as JSON-RPC messages (JSON-RPC 2.0, sections 4 and 5).

The SDK validates messages with its models. What they refuse, it reports as a dump of the models. Here a message that is
none gets a reason in words, and what can be mended is mended.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from app.core.mcp.protocol.exchange import names_none, same_id
from app.core.wire_text import mended_json

PARSE_ERROR = -32700
INTERNAL_ERROR = -32603
SHOWN = 200
# A decimal number of so few characters, without an exponent, is the only one of its length that its double stands for.
EXACT_CHARACTERS = 16


class NotAMessage(ValueError):
    """Bytes that are no message, or no answer. `words` is the reason, as a sentence."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


def read_json(text: bytes) -> Any:
    """The value of a JSON text that a server sent. Raises `NotAMessage`.

    Mended: a byte order mark, lone surrogates, `NaN` and the infinities, which become null. A number is a `Decimal`
    where a double would change it.
    """
    text = mended_json(text)
    if not text.strip():
        raise NotAMessage("The server's answer is empty.")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise NotAMessage("The server's answer is nested too deeply to be read.") from None
    except UnicodeDecodeError:
        raise NotAMessage("The server's answer is not valid UTF-8.") from None
    except msgspec.DecodeError:
        return _read_slowly(text)


def read_message(text: bytes) -> dict[str, Any]:
    """One JSON-RPC message. Raises `NotAMessage`."""
    value = read_json(text)
    if isinstance(value, list):
        raise NotAMessage("The server answered with a batch of messages, which MCP does not have.")
    if not isinstance(value, dict):
        raise NotAMessage(f"The server's answer is {_kind(value)} instead of a JSON-RPC message.")
    if value.get("jsonrpc") != "2.0" or not value.keys() & {"method", "result", "error"}:
        raise NotAMessage("The server's answer is JSON, but no JSON-RPC 2.0 message.")
    return value


def is_answer(message: dict[str, Any]) -> bool:
    """Whether a message is an answer, and not a request or a notification."""
    return "method" not in message


def checked_answer(message: dict[str, Any], identity: int | str) -> dict[str, Any]:
    """The answer to the request `identity`, with that id. Raises `NotAMessage` if it is none.

    An error that names no request answers it too: a server that could not read the id sends null (JSON-RPC 2.0,
    section 5), and some send another value that is no id.
    """
    if not is_answer(message):
        raise NotAMessage("The server sent a message of its own instead of an answer.")
    given, error = message.get("id"), message.get("error")
    if not same_id(given, identity) and not (names_none(given) and error is not None):
        raise NotAMessage(f"The server answered the request {_short(given)}, but the request was {_short(identity)}.")
    if error is not None:
        return {"jsonrpc": "2.0", "id": identity, "error": _error(error)}
    result = message.get("result")
    if not isinstance(result, dict):
        raise NotAMessage(f"The server's answer has {_kind(result)} for a result instead of an object.")
    return {"jsonrpc": "2.0", "id": identity, "result": result}


def failed_answer(identity: int | str, words: str) -> bytes:
    """An error in the place of an answer that is none, so that the request ends."""
    error = {"code": PARSE_ERROR, "message": words}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": identity, "error": error})


def _error(error: object) -> dict[str, Any]:
    """An error object with a code and a message, whatever the server sent as one."""
    if not isinstance(error, dict):
        return {"code": INTERNAL_ERROR, "message": error if isinstance(error, str) else _short(error)}
    code, message = error.get("code"), error.get("message")
    whole = isinstance(code, int) and not isinstance(code, bool)
    read = {
        "code": code if whole else INTERNAL_ERROR,
        "message": message if isinstance(message, str) else _short(error),
    }
    return {**read, "data": error["data"]} if "data" in error else read


def _read_slowly(text: bytes) -> Any:
    try:
        # As text: of bytes `json` reads more encodings than MCP has, and than the SDK would read after this.
        return json.loads(text.decode(), parse_float=_number, parse_constant=lambda _name: None)
    except NotAMessage:
        raise
    except UnicodeDecodeError:
        raise NotAMessage("The server's answer is not valid UTF-8.") from None
    except json.JSONDecodeError as problem:
        where = f"line {problem.lineno}, column {problem.colno}"
        beginning = _short(text[:SHOWN].decode("utf-8", "replace"))
        raise NotAMessage(f"The server's answer is not JSON ({where}). It begins with {beginning}.") from None
    except RecursionError:
        raise NotAMessage("The server's answer is nested too deeply to be read.") from None
    except ValueError:
        raise NotAMessage("The server's answer has a number with too many digits.") from None


def _number(digits: str) -> float | Decimal:
    number = float(digits)
    if len(digits) <= EXACT_CHARACTERS and "e" not in digits and "E" not in digits:
        return number
    try:
        exact = Decimal(digits)
    except InvalidOperation:
        raise NotAMessage("The server's answer has a number with too large an exponent.") from None
    return number if number - number == 0 and Decimal(repr(number)) == exact else exact


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a number"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return f"“{text[:SHOWN]}{'…' if len(text) > SHOWN else ''}”"


_DECODER = msgspec.json.Decoder(float_hook=_number)
