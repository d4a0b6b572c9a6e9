"""The text of a body without secrets, and laid out: JSON keeps the digits and the repeated names that it has."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from app.core.redaction import LEAST_HIDDEN, REDACTED, redact, redact_text

# A text that is a secret where its name can make it one.
PROBE = "Zq9x7Kd83jf0aLwq"


def cleaned(text: str, *, whole: bool) -> str:
    """A body without secrets. JSON stays JSON, with the digits and the repeated names that it has."""
    if whole and text.lstrip()[:1] in {"{", "["}:
        try:
            parsed = _parsed(text)
            kept = _cleaned(parsed, "")
            return text if kept == parsed else _written(kept)
        except (ValueError, RecursionError):
            pass
    return redact_text(text)


def pretty(text: str) -> str:
    """JSON with line breaks; anything else as it is. Its values stay what they are."""
    try:
        return _laid_out(_parsed(text), 0)
    except (ValueError, RecursionError):
        return text


class _Members(list[tuple[str, Any]]):
    """The members of an object, of which several may have one name."""


class _Verbatim(str):
    """The digits of a number."""

    __slots__ = ()


def _laid_out(value: object, depth: int) -> str:
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, _Verbatim):
        return str(value)
    if isinstance(value, _Members):
        if not value:
            return "{}"
        rows = [f"{inner}{_text(key)}: {_laid_out(item, depth + 1)}" for key, item in value]
        return "{\n" + ",\n".join(rows) + f"\n{outer}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"{inner}{_laid_out(item, depth + 1)}" for item in value) + f"\n{outer}]"
    return _text(value)


def _cleaned(value: object, name: str) -> object:
    """A parsed JSON value without secrets. `name` is that of the member whose value it is."""
    if isinstance(value, _Members):
        if name and _may_be_secret(name) and redact({name: {}})[name] == REDACTED:
            return REDACTED
        said = _pair_name(value)
        return _Members(
            (_name(key), _cleaned(item, said if said and key.lower() == "value" else key)) for key, item in value
        )
    if isinstance(value, list):
        if len(value) == 2 and type(value[0]) is type(value[1]) is str:
            # Perhaps a header and its value.
            pair: list[object] = redact(value, limit=sum(map(len, value)) + 16)
            return [_cleaned(item, name) for item in pair]
        return [_cleaned(item, name) for item in value]
    if not isinstance(value, str):
        return value
    if not _may_be_secret(name):
        return value if isinstance(value, _Verbatim) else redact_text(value)
    if isinstance(value, _Verbatim):
        return REDACTED if _named(name, 0) == REDACTED else value
    return _named(name, value)


def _named(name: str, value: object) -> object:
    """What redaction leaves of a value with this name."""
    size = len(value) if isinstance(value, str) else 0
    copied: dict[str, object] = redact({name: value}, limit=size + len(name) + 16)
    return copied.popitem()[1]


@lru_cache(maxsize=4096)
def _may_be_secret(name: str) -> bool:
    """Whether the name decides about its value: any other value is judged by its own text."""
    return name != "" and REDACTED in {_named(name, PROBE), _named(name, 10**9), str(_named(name, {}))}


def _name(name: str) -> str:
    # No secret that Burrow holds is so short, and the others are known by their shape.
    return _short_name(name) if len(name) < LEAST_HIDDEN else redact_text(name)


@lru_cache(maxsize=4096)
def _short_name(name: str) -> str:
    return redact_text(name)


def _pair_name(members: _Members) -> str:
    """The name of the header in `{"name": …, "value": …}`, empty for any other object."""
    named = dict(members)
    found = next((named[key] for key in ("name", "key", "header") if isinstance(named.get(key), str)), "")
    return found if "value" in named else ""


def _parsed(text: str) -> object:
    """A JSON value with its members and digits as they are written. Raises `ValueError` and `RecursionError`."""
    return json.loads(text, object_pairs_hook=_Members, parse_float=_Verbatim, parse_int=_Verbatim)


def _written(value: object) -> str:
    if isinstance(value, _Verbatim):
        return str(value)
    if isinstance(value, _Members):
        return "{" + ",".join(f"{_text(key)}:{_written(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return _text(value)


def _text(value: object) -> str:
    # Half of a surrogate pair stays the escape that it was.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
