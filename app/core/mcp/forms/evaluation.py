"""Evaluating a JSON Schema (2020-12, and what earlier drafts write differently) within bounds.

Each keyword is tried by itself. One that cannot be tried is skipped and noted, and everything else is still checked.
So a schema has one of three outcomes for a value: problems, none, or none as far as could be told. A union or a
negation decides only where the outcomes of its parts do.

The library `jsonschema` was not taken: an untried keyword changes what it says of unions and negations, it compares
`enum` and `uniqueItems` in quadratic time, and it prints whole values into messages that nobody reads.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from app.core.mcp.forms.document import SchemaDocument
from app.core.mcp.forms.schemas import states_const

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Keyword = Callable[["Evaluation", Any, Any, "Spot"], "Sequence[Problem]"]

# How many schemas may be inside each other. Each takes three Python frames.
DEPTH_LIMIT = 100
# The clock is read once in this many steps.
STEPS = 128
# These need to know what all other keywords beside them have seen.
LATE = frozenset({"unevaluatedItems", "unevaluatedProperties"})
TOO_LONG = "the check took too long"
UNREADABLE = "it cannot be read"

Path = tuple[str | int, ...]
Item = TypeVar("Item")


class Problem(NamedTuple):
    """What a keyword found wrong with the value at `path`."""

    path: Path
    words: str
    keyword: str


class Untried(Exception):
    """A keyword cannot be tried. The message says why, as the end of a sentence."""


@dataclass
class Seen:
    """Which members and items of a value its schema spoke of, for `unevaluatedProperties` and `unevaluatedItems`.

    `unsure` says that a part of the schema could not be tried.
    """

    names: set[str] = field(default_factory=set)
    places: set[int] = field(default_factory=set)
    unsure: bool = False

    def add(self, other: Seen) -> None:
        self.names |= other.names
        self.places |= other.places
        self.unsure = self.unsure or other.unsure


class Spot(NamedTuple):
    """Where a keyword stands: the schema around it, the path of the value, and what was seen of the value so far."""

    schema: dict[str, Any]
    path: Path
    seen: Seen


class Outcome(NamedTuple):
    """What a schema says of a value. Without problems it is only `sure` if every keyword was tried."""

    problems: list[Problem]
    sure: bool
    seen: Seen

    @property
    def valid(self) -> bool:
        return not self.problems and self.sure

    @property
    def invalid(self) -> bool:
        return bool(self.problems)


class Evaluation:
    """One check of one value against `root`, with the functions of `keywords`, within `seconds`.

    `skipped` are the keywords that were not tried, with the reason as their words.
    """

    def __init__(self, root: Any, keywords: Mapping[str, Keyword], seconds: float) -> None:
        self.document = SchemaDocument(root)
        # The equality keys of values in the schema, by their identity: many items may be compared with one list.
        self.keys: dict[int, Any] = {}
        # How often a pattern took too long.
        self.slow: Counter[str] = Counter()
        self.skipped: list[Problem] = []
        self._keywords = keywords
        self._end = monotonic() + seconds
        self._steps = STEPS
        self._over = False
        self._active: set[tuple[int, Path]] = set()
        stated = root.get("$schema") if isinstance(root, dict) else None
        # Up to draft 7, nothing beside a reference counts.
        self._legacy = isinstance(stated, str) and any(f"draft-0{number}" in stated for number in range(3, 8))

    def check(self, schema: Any, value: Any, path: Path) -> Outcome:
        """Everything that `schema` says of `value`. Never raises."""
        seen = Seen()
        if schema is True or schema is None:
            return Outcome([], True, seen)
        if schema is False:
            return Outcome([Problem(path, "No value is valid here.", "false")], True, seen)
        before = len(self.skipped)
        # The same schema for the same value again: it refers to itself, and would never end.
        mark = (id(schema), path)
        if not isinstance(schema, dict):
            self.skip(path, "schema", UNREADABLE)
        elif mark in self._active or len(self._active) >= DEPTH_LIMIT:
            self.skip(path, "schema", "it refers to itself, or is nested too deeply")
        else:
            self._active.add(mark)
            try:
                problems = self._run(schema, value, Spot(schema, path, seen))
            finally:
                self._active.discard(mark)
            return Outcome(problems, len(self.skipped) == before, seen)
        return Outcome([], False, seen)

    def try_each(self, schemas: Sequence[Any], value: Any, path: Path) -> list[tuple[Outcome, list[Problem]]]:
        """The outcome of each schema, with what it skipped. That counts only once it is given to `keep`."""
        found = []
        for schema in schemas:
            before = len(self.skipped)
            outcome = self.check(schema, value, path)
            found.append((outcome, self.skipped[before:]))
            del self.skipped[before:]
        return found

    def keep(self, skipped: Sequence[Problem]) -> None:
        """Note keywords as skipped."""
        self.skipped += skipped

    def skip(self, path: Path, keyword: str, why: str) -> None:
        """Note a keyword as skipped."""
        self.skipped.append(Problem(path, why, keyword))

    def spend(self, steps: int) -> None:
        """Count work. Raises `Untried` when the time is over."""
        self._steps -= steps
        if self._steps <= 0:
            self._steps = STEPS
            self._over = self._over or monotonic() > self._end
        if self._over:
            raise Untried(TOO_LONG)

    def in_time(self, items: Iterable[Item], spot: Spot, keyword: str) -> Iterator[Item]:
        """The items of a value, until the time is over: then the rest is noted as skipped."""
        for item in items:
            if self._over:
                self.skip(spot.path, keyword, TOO_LONG)
                return
            yield item

    def _run(self, schema: dict[str, Any], value: Any, spot: Spot) -> list[Problem]:
        problems: list[Problem] = []
        if self._legacy and "$ref" in schema:
            schema = {"$ref": schema["$ref"]}
        for name in sorted(schema, key=LATE.__contains__) if schema.keys() & LATE else schema:
            keyword = self._keywords.get(name)
            wanted = schema[name]
            # Many servers write null for what they do not state.
            if keyword is None or (wanted is None and (name != "const" or not states_const(schema))):
                continue
            try:
                self.spend(1)
                problems += keyword(self, wanted, value, spot)
            except Untried as problem:
                self.skip(spot.path, name, str(problem))
                spot.seen.unsure = True
            # A keyword with a value that the standard does not allow. Only that keyword is left out.
            except (TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
                self.skip(spot.path, name, UNREADABLE)
                spot.seen.unsure = True
        return problems
