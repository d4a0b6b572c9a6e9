"""Decoding answers into the values of `types.py`, for servers of different versions (docs/wire.md, "Tasks").

Valid items are decoded straight into the structs. An invalid item is repaired first: nulls become defaults, numbers
become text where text is expected, an optional field of the wrong type counts as absent. An item that cannot be
repaired is left out, and never hides the others of its page.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar, Union, cast, get_args, get_origin
from urllib.parse import quote

import msgspec

from app.core.errors import Facts, ProtocolTrouble
from app.core.posthog.types import Membership, Page, Task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.fetcher import Answer

T = TypeVar("T")

MAX_LIMIT = 100

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {}

log = logging.getLogger(__name__)


class _Envelope(msgspec.Struct):
    results: list[msgspec.Raw]
    count: Any = None
    next: Any = None


def decode_one(answer: Answer, kind: type[T]) -> T:
    """The answer's object as `kind`. Raises `ProtocolTrouble`, which names the path of the first invalid value."""
    raw = answer.decode(msgspec.Raw)
    try:
        return _decode(raw, kind)
    except UNREADABLE as problem:
        raise ProtocolTrouble(
            f"{answer.origin} answered with an unexpected value: {problem}.",
            Facts(status=answer.status, origin=answer.origin),
        ) from None


def decode_page(answer: Answer, kind: type[T], cursor: str | None = None) -> Page[T]:
    """One limit/offset page. Raises `ProtocolTrouble` when the answer is not a page.

    `cursor` is the one that the page was requested by. A page that names it as its `next` is the last one.
    """
    # Three attempts, from the fastest to the most lenient: the page as a whole, item by item, and item by item after
    # what the decoder refuses has been replaced.
    envelope: Any
    try:
        # A page of valid items takes half the time that its items take one by one.
        envelope = _decoder_of(_page_of(cast("Any", kind))).decode(answer.content)
        items, unreadable = tuple(envelope.results), 0
    except UNREADABLE:
        try:
            envelope = answer.decode(_Envelope)
        except ProtocolTrouble:
            envelope = _repaired_answer(answer).decode(_Envelope)
        items, unreadable = _decode_all(envelope.results, kind)
    count = envelope.count if isinstance(envelope.count, int) else len(envelope.results)
    following = envelope.next if isinstance(envelope.next, str) and envelope.next != cursor else None
    return Page(items, count, following or None, unreadable)


def decode_items(raw: Iterable[msgspec.Raw], kind: type[T]) -> tuple[T, ...]:
    """The items of `raw` that can be decoded."""
    return _decode_all(raw, kind)[0]


def encode_tasks(tasks: Iterable[Task]) -> bytes:
    """Tasks as bytes for the cache."""
    return msgspec.json.encode(list(tasks))


def decode_tasks(payload: bytes) -> tuple[Task, ...]:
    """Read what `encode_tasks` of this or another version wrote. What cannot be decoded is left out."""
    try:
        return tuple(_decoder_of(list[Task]).decode(payload))
    except UNREADABLE:
        pass
    try:
        raw = msgspec.json.decode(payload, type=list[msgspec.Raw])
    except UNREADABLE:
        log.warning("the cached list of tasks is unreadable")
        return ()
    return decode_items(raw, Task)


def encode_membership(membership: Membership) -> str:
    """The membership as text for the settings."""
    return msgspec.json.encode(membership).decode()


def decode_membership(text: str) -> Membership:
    """Read what `encode_membership` wrote. Raises `ProtocolTrouble` for anything else."""
    try:
        return msgspec.json.decode(text, type=Membership)
    except UNREADABLE as problem:
        raise ProtocolTrouble(f"The remembered account is unreadable: {problem}.") from None


def segment(value: str | int) -> str:
    """`value` as one segment of a path."""
    text = quote(str(value), safe="")
    # `quote` leaves dots alone, and HTTP clients resolve a segment of dots: the request would go to another path.
    return text.replace(".", "%2E") if text in {".", ".."} else text


def bounded(limit: int) -> int:
    """`limit` within what servers accept: they silently reduce a larger one (docs/wire.md, "Pagination")."""
    return max(1, min(limit, MAX_LIMIT))


def _repaired_answer(answer: Answer) -> Answer:
    """The answer without what the strict decoder refuses as a whole: lone surrogates, invalid UTF-8, NaN."""
    try:
        value = json.loads(answer.content.decode("utf-8", "replace"), parse_constant=lambda _: None)
        content = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return answer
    return replace(answer, content=content)


def _decode_all(raw: Iterable[msgspec.Raw], kind: type[T]) -> tuple[tuple[T, ...], int]:
    items: list[T] = []
    problems: list[str] = []
    for one in raw:
        try:
            items.append(_decode(one, kind))
        except UNREADABLE as problem:
            problems.append(str(problem))
    if problems:
        log.warning("%d of a list of %s were left out, the first: %s", len(problems), kind.__name__, problems[0])
    return tuple(items), len(problems)


def _decode(raw: msgspec.Raw, kind: type[T]) -> T:
    """`raw` as `kind`, repaired if necessary. Each step is much slower than the one before, and rarely needed."""
    try:
        return _decoder(kind).decode(raw)
    except msgspec.ValidationError:
        value = msgspec.json.decode(raw)
    except UnicodeDecodeError:
        value = msgspec.json.decode(bytes(raw).decode("utf-8", "replace"))
    try:
        return msgspec.convert(_without_nulls(value, kind), kind, strict=False)
    except msgspec.ValidationError:
        return msgspec.convert(_repair(value, kind), kind, strict=False)


@cache
def _decoder_of(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, strict=False)


@cache
def _page_of(kind: Any) -> Any:
    results: Any = list[kind]
    return msgspec.defstruct("Page", [("results", results), ("count", Any, None), ("next", Any, None)])


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind, strict=False)
    return decoder


class _Field(NamedTuple):
    """How to repair one field: `inner` is the struct in it, `many` whether it has several of them."""

    kind: Any
    text: bool
    optional: bool
    inner: type | None
    many: bool


def _without_nulls(value: Any, kind: type) -> Any:
    """`value` without nulls, so that defaults apply. Most answers of older servers need nothing else."""
    if not isinstance(value, dict):
        return value
    kept = {name: item for name, item in value.items() if item is not None}
    for name, inner in _inner(kind):
        if name in kept:
            kept[name] = _without_nulls(kept[name], inner)
    return kept


def _repair(value: Any, kind: type) -> Any:
    """`value` with everything removed or converted that does not match `kind`, as far as that is possible."""
    if not isinstance(value, dict):
        return value
    repaired: dict[str, Any] = {}
    for name, spec in _fields(kind).items():
        item = value.get(name)
        if item is None:
            continue
        if spec.kind is msgspec.Raw:
            item = msgspec.Raw(msgspec.json.encode(item))
        elif spec.text and isinstance(item, (int, float)) and not isinstance(item, bool):
            item = str(item)
        if spec.inner is not None and spec.many and isinstance(item, list):
            item = [one for one in (_repair(one, spec.inner) for one in item) if _is_valid(one, spec.inner)]
        elif spec.inner is not None:
            item = _repair(item, spec.inner)
        # An invalid required field stays, so that the item as a whole is refused and counted.
        if not spec.optional or _is_valid(item, spec.kind):
            repaired[name] = item
    return repaired


def _is_valid(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return False
    return True


@cache
def _inner(kind: type) -> tuple[tuple[str, type], ...]:
    return tuple((name, spec.inner) for name, spec in _fields(kind).items() if spec.inner is not None and not spec.many)


@cache
def _fields(kind: type) -> dict[str, _Field]:
    found = {}
    for item in msgspec.structs.fields(kind):
        hint = get_args(item.type)[0] if get_origin(item.type) is Annotated else item.type
        choices = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
        parts = [part for choice in choices for part in (get_args(choice) or (choice,))]
        inner = next((part for part in parts if isinstance(part, type) and issubclass(part, msgspec.Struct)), None)
        # A free-form object does not identify an item, so an invalid one must not hide it.
        free = item.default_factory is dict
        found[item.encode_name] = _Field(
            kind=hint,
            text=str in choices,
            optional=NoneType in choices or free,
            inner=inner,
            many=any(get_origin(choice) in {tuple, list} for choice in choices),
        )
    return found
