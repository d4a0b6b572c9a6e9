"""What is kept of a call: its arguments without the secret ones, its outcome, and the beginning of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.mcp.json_text import NotJson, write_json
from app.core.mcp.secret_arguments import without_secrets
from app.core.redaction import redact_text
from app.core.storage.calls import LONGEST_RESULT, StoredCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.errors import BurrowError
    from app.core.mcp.results.blocks import CallResult

# A secret may begin inside what is kept and end behind it.
MARGIN = 4 * 1024


def kept_result(at: float, arguments: Mapping[str, Any], schema: Mapping[str, Any], result: CallResult) -> StoredCall:
    """The record of a call that was answered. `at` is in Unix seconds."""
    body = result.message
    answer = body[: 4 * (LONGEST_RESULT + MARGIN)].decode("utf-8", "replace") if body else _written(result.raw)
    outcome = "tool error" if result.is_error else "done"
    size = len(body) if body else len(answer)
    return _kept(at, result.seconds, outcome, arguments, schema, answer, size)


def kept_failure(
    at: float, seconds: float, arguments: Mapping[str, Any], schema: Mapping[str, Any], error: BurrowError | None
) -> StoredCall:
    """The record of a call without an answer: one that was cancelled when there is no error."""
    words = "" if error is None else f"{error.title}\n{error.cause}".strip()
    return _kept(at, seconds, "cancelled" if error is None else "failed", arguments, schema, words, len(words))


def _kept(
    at: float,
    seconds: float,
    outcome: str,
    arguments: Mapping[str, Any],
    schema: Mapping[str, Any],
    answer: str,
    size: int,
) -> StoredCall:
    kept, omitted = without_secrets(arguments, schema)
    text = _written(kept)
    answer = redact_text(answer[: LONGEST_RESULT + MARGIN])[:LONGEST_RESULT]
    return StoredCall(0, at, seconds, outcome, text, omitted, answer, size)


def _written(value: object) -> str:
    try:
        return write_json(value)
    except (NotJson, RecursionError):
        return ""
