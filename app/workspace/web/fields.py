"""Reading what clients send: strict JSON, and fields that are checked one by one.

A reader that refuses raises `ApiError` and names the field in `attr`.
"""

from __future__ import annotations

import json
import math
import uuid
from typing import TYPE_CHECKING

from app.workspace.web.errors import ApiError, parse_error, validation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from starlette.requests import Request

LARGEST_INTEGER = 2**63 - 1


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def decode_json(raw: bytes) -> object:
    """Strict JSON. Raises `ValueError` for everything that is not, deep nesting and huge numbers included."""
    try:
        return json.loads(raw, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as trouble:
        raise ValueError("nested too deeply") from trouble


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("number out of range")
    return value


async def json_value(request: Request) -> object:
    """The request's JSON body, `None` when there is none. Raises 415 `unsupported_media_type` and 400 `parse_error`."""
    raw = await request.body()
    if not raw.strip():
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        detail = f'Unsupported media type "{kind}" in request.'
        raise ApiError(415, "invalid_request", "unsupported_media_type", detail)
    try:
        return decode_json(raw)
    except ValueError:
        raise parse_error() from None


async def json_object(request: Request) -> dict[str, object]:
    """The request's JSON object, empty when there is no body."""
    value = await json_value(request)
    if value is None:
        return {}
    if not isinstance(value, dict):
        detail = f"Invalid data. Expected a dictionary, but got {type(value).__name__}."
        raise validation(detail, code="invalid")
    return value


def required(body: Mapping[str, object], name: str) -> object:
    if name not in body:
        raise validation("This field is required.", name, "required")
    if body[name] is None:
        raise validation("This field may not be null.", name, "null")
    return body[name]


def text(
    body: Mapping[str, object],
    name: str,
    *,
    maximum: int | None = None,
    needed: bool = False,
    blank: bool = True,
) -> str | None:
    """A string field, or None when absent or null. `maximum` in characters."""
    value = required(body, name) if needed else body.get(name)
    if value is None:
        return None
    return checked_text(value, name, maximum=maximum, blank=blank)


def checked_text(value: object, attr: str, *, maximum: int | None = None, blank: bool = True) -> str:
    if not isinstance(value, str):
        raise validation("Not a valid string.", attr, "invalid")
    if "\x00" in value:
        raise validation("Null characters are not allowed.", attr, "null_characters_not_allowed")
    # JSON can spell a lone surrogate, SQLite cannot store it.
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise validation("Not a valid string.", attr, "invalid")
    if not blank and not value.strip():
        raise validation("This field may not be blank.", attr, "blank")
    if maximum is not None and len(value) > maximum:
        raise validation(f"Ensure this field has no more than {maximum} characters.", attr, "max_length")
    return value


def boolean(body: Mapping[str, object], name: str, *, needed: bool = False) -> bool | None:
    value = required(body, name) if needed else body.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise validation("Must be a valid boolean.", name, "invalid")


def integer(
    body: Mapping[str, object], name: str, *, minimum: int = -LARGEST_INTEGER, maximum: int = LARGEST_INTEGER
) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise validation("A valid integer is required.", name, "invalid")
    if value < minimum:
        raise validation(f"Ensure this value is greater than or equal to {minimum}.", name, "min_value")
    if value > maximum:
        raise validation(f"Ensure this value is less than or equal to {maximum}.", name, "max_value")
    return value


def number(body: Mapping[str, object], name: str, *, minimum: float, maximum: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise validation("A valid number is required.", name, "invalid")
    if not minimum <= value <= maximum:
        raise validation(f"Ensure this value is between {minimum:g} and {maximum:g}.", name, "invalid")
    return float(value)


def choice(body: Mapping[str, object], name: str, allowed: Collection[str]) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or value not in allowed:
        shown = value if isinstance(value, str) else json.dumps(value)
        raise validation(f'"{shown[:100]}" is not a valid choice.', name, "invalid_choice")
    return value


def identifier(body: Mapping[str, object], name: str) -> str | None:
    """A UUID in its canonical form, or None when absent or null."""
    value = body.get(name)
    if value is None:
        return None
    found = as_uuid(value)
    if found is None:
        raise validation("Must be a valid UUID.", name, "invalid")
    return found


def as_uuid(value: object) -> str | None:
    """The canonical form of a UUID in text, None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        return str(uuid.UUID(value))
    except ValueError:
        return None


def mapping(body: Mapping[str, object], name: str) -> dict[str, object] | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise validation("Value must be a valid JSON object.", name, "invalid")
    return value


def items(
    body: Mapping[str, object], name: str, read: Callable[[object], str], *, maximum: int
) -> Sequence[str] | None:
    """A list field whose members `read` checks."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list):
        detail = f'Expected a list of items but got type "{type(value).__name__}".'
        raise validation(detail, name, "not_a_list")
    if len(value) > maximum:
        raise validation(f"Ensure this field has no more than {maximum} elements.", name, "max_length")
    return [read(member) for member in value]
