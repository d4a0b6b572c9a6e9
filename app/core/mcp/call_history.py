"""What is kept of a call: its arguments without the secret ones, its outcome, and the beginning of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.mcp.json_text import NotJson, write_json
from app.core.redaction import REDACTED, redact_text
from app.core.storage.calls import LONGEST_RESULT, StoredCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.errors import BurrowError
    from app.core.mcp.results.blocks import CallResult

SCHEMA_DEPTH = 12
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
    omitted: list[str] = []
    kept = _without_secrets(dict(arguments), schema, schema, "", omitted, SCHEMA_DEPTH)
    text = _written(kept)
    answer = redact_text(answer[: LONGEST_RESULT + MARGIN])[:LONGEST_RESULT]
    return StoredCall(0, at, seconds, outcome, text, tuple(omitted), answer, size)


def _without_secrets(
    value: Any, schema: Any, root: Mapping[str, Any], path: str, omitted: list[str], depth: int
) -> Any:
    """A copy without what the schema calls secret, and without texts that look like credentials."""
    if isinstance(value, str):
        if redact_text(value) == value:
            return value
        omitted.append(path)
        return REDACTED
    if isinstance(value, list):
        items = [sub.get("items") for sub in _alternatives(schema, root)]
        inner = next((item for item in items if isinstance(item, dict)), {})
        return [
            _without_secrets(item, inner, root, f"{path}[{place}]", omitted, depth - 1)
            for place, item in enumerate(value)
        ]
    if not isinstance(value, dict):
        return value
    if depth <= 0:
        omitted.append(path)
        return {}
    schemas = _alternatives(schema, root)
    kept = {}
    for name, item in value.items():
        where = f"{path}.{name}" if path else str(name)
        found = [inner for sub in schemas if (inner := _member(sub, name)) is not None]
        if any(_is_secret(inner, root) for inner in found) or _is_secret_name(str(name), item):
            omitted.append(where)
            continue
        merged = {"allOf": found} if len(found) > 1 else (found[0] if found else {})
        kept[name] = _without_secrets(item, merged, root, where, omitted, depth - 1)
    return kept


def _alternatives(schema: Any, root: Mapping[str, Any], depth: int = 6) -> list[Mapping[str, Any]]:
    """A schema and those that it refers to or combines, any of which may say what a member is."""
    if not isinstance(schema, dict) or depth <= 0:
        return []
    found: list[Mapping[str, Any]] = [schema]
    target = _resolved(schema.get("$ref"), root)
    if target is not None:
        found += _alternatives(target, root, depth - 1)
    for word in ("allOf", "anyOf", "oneOf"):
        parts = schema.get(word)
        for part in parts[:50] if isinstance(parts, list) else ():
            found += _alternatives(part, root, depth - 1)
    for word in ("if", "then", "else"):
        found += _alternatives(schema.get(word), root, depth - 1)
    return found


def _resolved(reference: Any, root: Mapping[str, Any]) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: Any = root
    for part in reference[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return found


def _member(schema: Mapping[str, Any], name: Any) -> Any:
    properties = schema.get("properties")
    if isinstance(properties, dict) and name in properties:
        return properties[name]
    others = schema.get("additionalProperties")
    return others if isinstance(others, dict) else None


def _is_secret(schema: Any, root: Mapping[str, Any]) -> bool:
    return any(
        part.get("format") == "password" or part.get("writeOnly") is True for part in _alternatives(schema, root)
    )


def _is_secret_name(name: str, value: Any) -> bool:
    """Whether a value with such a name is redacted everywhere else too."""
    if not isinstance(value, str) or not value:
        return False
    pair = f"{name}={value.split()[0] if value.split() else value}"
    return REDACTED in redact_text(pair) and REDACTED not in name


def _written(value: object) -> str:
    try:
        return write_json(value)
    except (NotJson, RecursionError):
        return ""
