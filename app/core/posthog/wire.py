"""From the wire to the values of `types.py` and back, for servers of different ages (docs/wire.md, "Tasks").

What fits is decoded straight into the structs. An item that does not fit is mended first: nulls become defaults,
numbers where text is expected become text, an optional field of the wrong kind counts as absent. An item that cannot be
mended never hides the others of its page.
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
    """The answer's object as `kind`. Raises `ProtocolTrouble` naming the path of what cannot be understood."""
    raw = answer.decode(msgspec.Raw)
    try:
        return _decode(raw, kind)
    except UNREADABLE as problem:
        raise ProtocolTrouble(
            f"{answer.origin} answered with an unexpected value: {problem}.",
            Facts(status=answer.status, origin=answer.origin),
        ) from None


def decode_page(answer: Answer, kind: type[T], cursor: str | None = None) -> Page[T]:
    """One limit/offset page. Raises `ProtocolTrouble` when the answer is no page at all.

    `cursor` is the address that the page was asked from: a page that names itself as its next one is the last.
    """
    envelope: Any
    try:
        # A page without a flaw, in half the time that its items take one by one.
        envelope = _whole(_page_of(cast("Any", kind))).decode(answer.content)
        items, unreadable = tuple(envelope.results), 0
    except UNREADABLE:
        try:
            envelope = answer.decode(_Envelope)
        except ProtocolTrouble:
            envelope = _repaired(answer).decode(_Envelope)
        items, unreadable = _readable(envelope.results, kind)
    count = envelope.count if isinstance(envelope.count, int) else len(envelope.results)
    following = envelope.next if isinstance(envelope.next, str) and envelope.next != cursor else None
    return Page(items, count, following or None, unreadable)


def decode_items(raw: Iterable[msgspec.Raw], kind: type[T]) -> tuple[T, ...]:
    """Those of `raw` that can be understood."""
    return _readable(raw, kind)[0]


def encode_tasks(tasks: Iterable[Task]) -> bytes:
    """Tasks as bytes for the cache."""
    return msgspec.json.encode(list(tasks))


def decode_tasks(payload: bytes) -> tuple[Task, ...]:
    """What `encode_tasks` made, by this version or another; what cannot be read is left out."""
    try:
        return tuple(_whole(list[Task]).decode(payload))
    except UNREADABLE:
        pass
    try:
        raw = msgspec.json.decode(payload, type=list[msgspec.Raw])
    except UNREADABLE:
        log.warning("the cached list of tasks is unreadable")
        return ()
    return decode_items(raw, Task)


def encode_membership(membership: Membership) -> str:
    """As text for the settings."""
    return msgspec.json.encode(membership).decode()


def decode_membership(text: str) -> Membership:
    """What `encode_membership` made. Raises `ProtocolTrouble` for anything else."""
    try:
        return msgspec.json.decode(text, type=Membership)
    except UNREADABLE as problem:
        raise ProtocolTrouble(f"The remembered account is unreadable: {problem}.") from None


def segment(value: str | int) -> str:
    """`value` as one segment of a path, whatever characters it has."""
    text = quote(str(value), safe="")
    return text.replace(".", "%2E") if text in {".", ".."} else text


def bounded(limit: int) -> int:
    """`limit` as servers honour it: they silently answer with at most 100 (docs/wire.md, "Pagination")."""
    return max(1, min(limit, MAX_LIMIT))


def _repaired(answer: Answer) -> Answer:
    """The answer with what the strict decoder refuses as a whole replaced: half characters, broken UTF-8, NaN."""
    try:
        value = json.loads(answer.content.decode("utf-8", "replace"), parse_constant=lambda _: None)
        content = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return answer
    return replace(answer, content=content)


def _readable(raw: Iterable[msgspec.Raw], kind: type[T]) -> tuple[tuple[T, ...], int]:
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
    try:
        return _decoder(kind).decode(raw)
    except msgspec.ValidationError:
        value = msgspec.json.decode(raw)
    except UnicodeDecodeError:
        value = msgspec.json.decode(bytes(raw).decode("utf-8", "replace"))
    try:
        return msgspec.convert(_without_nulls(value, kind), kind, strict=False)
    except msgspec.ValidationError:
        return msgspec.convert(_mended(value, kind), kind, strict=False)


@cache
def _whole(kind: Any) -> msgspec.json.Decoder[Any]:
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
    """How to mend one field: `inner` is the struct in it, `many` whether it holds several of them."""

    kind: Any
    text: bool
    optional: bool
    inner: type | None
    many: bool


def _without_nulls(value: Any, kind: type) -> Any:
    """All that most older answers need, many times quicker than mending."""
    if not isinstance(value, dict):
        return value
    kept = {name: item for name, item in value.items() if item is not None}
    for name, inner in _inner(kind):
        if name in kept:
            kept[name] = _without_nulls(kept[name], inner)
    return kept


def _mended(value: Any, kind: type) -> Any:
    if not isinstance(value, dict):
        return value
    mended: dict[str, Any] = {}
    for name, spec in _fields(kind).items():
        item = value.get(name)
        if item is None:
            continue
        if spec.text and isinstance(item, (int, float)) and not isinstance(item, bool):
            item = str(item)
        if spec.inner is not None and spec.many and isinstance(item, list):
            item = [one for one in (_mended(one, spec.inner) for one in item) if _fits(one, spec.inner)]
        elif spec.inner is not None:
            item = _mended(item, spec.inner)
        if not spec.optional or _fits(item, spec.kind):
            mended[name] = item
    return mended


def _fits(value: Any, kind: Any) -> bool:
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
        # Free-form objects are nobody's identity: one of another shape must not hide the item.
        free = item.default_factory is dict
        found[item.name] = _Field(
            kind=hint,
            text=str in choices,
            optional=NoneType in choices or free,
            inner=inner,
            many=any(get_origin(choice) is tuple for choice in choices),
        )
    return found
