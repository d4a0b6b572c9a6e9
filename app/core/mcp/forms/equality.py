"""Equality of JSON values as JSON Schema has it: 1 and 1.0 are equal, 1 and true are not."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def equality_key(value: Any, spend: Callable[[int], None]) -> Any:
    """Something hashable that is equal for equal values, so that many are compared in linear time.

    `spend` is called with the number of members of each list and object, and may raise to stop. The value has at most
    a few hundred levels.
    """
    match value:
        case bool() | None:
            return (bool, value)
        # Python's own hashes and comparisons of int and Decimal are exact.
        case float():
            return Decimal(repr(value))
        case dict():
            spend(len(value))
            return (dict, frozenset((name, equality_key(item, spend)) for name, item in value.items()))
        case list() | tuple():
            spend(len(value))
            return (list, tuple(equality_key(item, spend) for item in value))
        case _:
            return value
