"""FieldEntry: what was typed into one field, and the value that it stands for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import TYPE_CHECKING, Any

from app.core.mcp.forms.fields import FieldKind
from app.core.mcp.json_text import DEPTH_LIMIT, NotJson, exact_numbers, parse_json, same_json, write_json

if TYPE_CHECKING:
    from app.core.mcp.forms.fields import Field

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Presence(Enum):
    """Whether an argument is left out, sent as null or sent with a value."""

    ABSENT = "absent"
    NULL = "null"
    VALUE = "value"


@dataclass(frozen=True)
class FieldEntry:
    """The content of one field.

    `text` is what was typed. For a CHOICE or CONST it is the choice's key, for a BOOLEAN `true` or `false`. `items` are
    the texts of a LIST. With `as_json` the field is edited as JSON in `text`, whatever its kind. While the argument is
    absent or null, `text` and `items` stay, so that the user can go back.
    """

    presence: Presence = Presence.ABSENT
    text: str = ""
    items: tuple[str, ...] = ()
    as_json: bool = False


def entry_of(item: Field, value: Any) -> FieldEntry:
    """The content of a field with `value`; as JSON if the field's editor cannot represent the value exactly."""
    if value is None and (item.kind is not FieldKind.CONST or item.index_of(None) is None):
        return FieldEntry(Presence.NULL)
    if item.kind is FieldKind.LIST and item.item is not None and isinstance(value, list):
        texts = [_text(item, item.item, one) for one in value]
        known = [text for text in texts if text is not None]
        if len(known) == len(texts):
            return FieldEntry(Presence.VALUE, items=tuple(known))
    text = _text(item, item.kind, value)
    if text is not None:
        return FieldEntry(Presence.VALUE, text=text)
    return FieldEntry(Presence.VALUE, text=write_json(value), as_json=item.kind is not FieldKind.JSON)


def _text(item: Field, kind: FieldKind, value: Any) -> str | None:
    """The text that an editor of `kind` converts to exactly `value`; None when there is none."""
    match kind:
        case FieldKind.TEXT:
            return value if isinstance(value, str) else None
        case FieldKind.BOOLEAN:
            return str(value).lower() if isinstance(value, bool) else None
        case FieldKind.INTEGER | FieldKind.NUMBER if isinstance(value, int | Decimal) and not isinstance(value, bool):
            # Compared after a round trip: the text of a fraction in an integer field would be refused.
            try:
                text = write_json(value, indent=None)
                return text if same_json(_number(kind, text), value) else None
            except ValueError:
                return None
        case FieldKind.CHOICE | FieldKind.CONST:
            place = item.index_of(value)
            return None if place is None else item.choose(place)
        case _:
            return None


def value_of(item: Field, entry: FieldEntry) -> Any:
    """The value of what was typed. Raises `ValueError` with a message for the user."""
    if entry.as_json or item.kind is FieldKind.JSON:
        try:
            # The arguments around it are a level of their own.
            return parse_json(entry.text, depth=DEPTH_LIMIT - 1)
        except NotJson as problem:
            raise ValueError(f"It is not JSON: {problem.message}.") from None
    if item.kind is FieldKind.LIST and item.item is not None:
        return [_numbered(item, number, text) for number, text in enumerate(entry.items, 1)]
    return _parsed(item, item.kind, entry.text)


def _numbered(item: Field, number: int, text: str) -> Any:
    assert item.item is not None
    try:
        return _parsed(item, item.item, text)
    except ValueError as problem:
        raise ValueError(f"Item {number}: {problem}") from None


def _parsed(item: Field, kind: FieldKind, text: str) -> Any:
    match kind:
        case FieldKind.TEXT:
            return text
        case FieldKind.BOOLEAN:
            if text not in {"true", "false"}:
                raise ValueError("Choose yes or no.")
            return text == "true"
        case FieldKind.CHOICE | FieldKind.CONST:
            place = item.chosen(text)
            if place is None:
                raise ValueError("Choose one of the values offered.")
            return item.choices[place].value
        case _:
            return _number(kind, text)


def _number(kind: FieldKind, text: str) -> int | Decimal:
    """The number that was typed, with all its digits: 1 is sent as 1 and 1.0 as 1.0, in every kind of field."""
    typed = text.strip()
    if not typed:
        raise ValueError("Type a number, or leave the argument out.")
    if not NUMBER.fullmatch(typed):
        raise ValueError(
            "It must be a whole number." if kind is FieldKind.INTEGER else "It must be a number, like 12 or 0.5."
        )
    try:
        number = Decimal(typed)
    except InvalidOperation:
        raise ValueError("The number is too large or too small.") from None
    if kind is FieldKind.INTEGER and number != number.to_integral_value():
        raise ValueError("It must be a whole number.")
    exact = exact_numbers(number)
    assert isinstance(exact, int | Decimal)
    return exact
