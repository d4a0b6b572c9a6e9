"""Which arguments a tool takes: the root of its `inputSchema`, with what references and combinations add.

Properties are collected from `allOf`, from every branch of `anyOf`, `oneOf`, `then` and `else`, and from dependent
schemas. An argument is required if every way to match the schema requires it. What belongs together beyond that is
left to the check of the whole schema.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.core.mcp.forms.reasons import Reason
from app.core.mcp.forms.schemas import (
    NOTES,
    branches_of,
    followed,
    is_null,
    properties_of,
    required_of,
    same_schema,
    types_of,
)

if TYPE_CHECKING:
    from app.core.mcp.forms.document import SchemaDocument

# How many schemas are looked into, and how deep: they may refer to each other.
SCHEMAS_LIMIT = 2_000
DEPTH_LIMIT = 32
UNIONS = ("anyOf", "oneOf")
BRANCHES = ("then", "else")


@dataclass(frozen=True)
class Arguments:
    """The schemas of the arguments by name.

    `open` says whether arguments that are not named are accepted. With a `reason` they cannot be listed.
    """

    properties: dict[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    open: bool = True
    reason: Reason | None = None


def arguments_of(schema: Any, document: SchemaDocument) -> Arguments:
    """The arguments of a root schema, whose references point into `document`. Never raises."""
    if schema is True or schema == {}:
        return Arguments(reason=Reason.ARGUMENTS_UNSTATED)
    found = _Collected(document)
    required = found.take(schema, certain=True) if isinstance(schema, dict) else None
    if found.reason is not None or required is None:
        return Arguments(reason=found.reason or Reason.UNREADABLE)
    properties = found.properties()
    if not properties and not required and (found.names_free or not found.described):
        return Arguments(reason=Reason.NAMES_FREE if found.names_free else Reason.ARGUMENTS_UNSTATED)
    return Arguments(properties, tuple(required), open=not found.closed)


class _Collected:
    """What a root and the schemas that it is made of say about the arguments."""

    def __init__(self, document: SchemaDocument) -> None:
        self.reason: Reason | None = None
        # Whether free names are invited, whether all others are refused, and whether arguments are spoken of at all.
        self.names_free = self.closed = self.described = False
        self._document = document
        self._certain: dict[str, list[Any]] = {}
        self._possible: dict[str, list[Any]] = {}
        self._left = SCHEMAS_LIMIT
        self._inside: set[int] = set()

    def take(self, schema: dict[str, Any], *, certain: bool) -> dict[str, None] | None:
        """The names that `schema` requires; None if it refers to nothing, to itself, or is no object's."""
        # Identity, because a circle comes back to the same part of the document.
        if id(schema) in self._inside:
            return {}
        if self._left <= 0 or len(self._inside) >= DEPTH_LIMIT:
            return {}
        self._left -= 1
        self._inside.add(id(schema))
        try:
            node = followed(schema, self._document)
            return None if node is None else self._take_node(node, certain=certain)
        finally:
            self._inside.discard(id(schema))

    def properties(self) -> dict[str, Any]:
        """One schema for each name."""
        names = dict.fromkeys([*self._certain, *self._possible])
        return {name: _one(self._certain.get(name, []), self._possible.get(name, [])) for name in names}

    def _take_node(self, node: dict[str, Any], *, certain: bool) -> dict[str, None] | None:
        types, properties = types_of(node), properties_of(node)
        if (types and "object" not in types) or properties is None:
            if certain:
                self.reason = Reason.NO_OBJECT
            return None
        self.described = self.described or bool(types) or "properties" in node
        self._take_other_names(node, certain=certain)
        known = self._certain if certain else self._possible
        for name, schema in properties.items():
            known.setdefault(name, []).append(schema)
        required = dict.fromkeys(required_of(node))
        for branch in branches_of(node, "allOf"):
            required.update(self._take_branch(branch, certain=certain) or {})
        for word in UNIONS:
            required.update(self._take_union(branches_of(node, word)))
        for word in BRANCHES:
            self._take_branch(node.get(word), certain=False)
        # The condition names arguments too, but what it says about them need not hold.
        condition = node.get("if")
        for name in (properties_of(condition) or {}) if isinstance(condition, dict) else ():
            self._possible.setdefault(name, []).append(True)
        for word in ("dependentSchemas", "dependencies"):
            dependent = node.get(word)
            for branch in dependent.values() if isinstance(dependent, dict) else ():
                self._take_branch(branch, certain=False)
        return required

    def _take_other_names(self, node: dict[str, Any], *, certain: bool) -> None:
        """Whether arguments that are not named are invited, or refused."""
        rules = [node.get("additionalProperties"), node.get("unevaluatedProperties")]
        self.closed = self.closed or (certain and False in [rule for rule in rules if isinstance(rule, bool)])
        invited = [rule is True or isinstance(rule, dict) for rule in rules]
        least = node.get("minProperties")
        needed = isinstance(least, int) and least > 0
        spoken_of = any(node.get(word) not in (None, {}, []) for word in ("patternProperties", "propertyNames"))
        self.names_free = self.names_free or any(invited) or needed or spoken_of

    def _take_union(self, branches: list[Any]) -> dict[str, None]:
        """What all branches require. A branch that is null or no object's does not count."""
        each: list[dict[str, None]] = []
        for branch in branches:
            if branch is False or is_null(branch, self._document):
                continue
            # What accepts anything, or cannot be read, may require nothing.
            if not isinstance(branch, dict) or followed(branch, self._document) is None:
                each.append({})
            elif (required := self._take_branch(branch, certain=False)) is not None:
                each.append(required)
        return {name: None for name in each[0] if all(name in other for other in each)} if each else {}

    def _take_branch(self, branch: Any, *, certain: bool) -> dict[str, None] | None:
        return self.take(branch, certain=certain) if isinstance(branch, dict) else None


def _one(certain: list[Any], possible: list[Any]) -> Any:
    said = _different([schema for schema in certain if not _says_nothing(schema)])
    if said:
        return said[0] if len(said) == 1 else {"allOf": said}
    notes = next((schema for schema in certain if isinstance(schema, dict)), {})
    ways = _different([schema for schema in possible if not _says_nothing(schema)])
    if len(ways) > 1:
        return {**notes, "anyOf": ways}
    return {**ways[0], **notes} if ways and isinstance(ways[0], dict) else (*ways, *certain, *possible)[0]


def _says_nothing(schema: Any) -> bool:
    return schema is True or (isinstance(schema, dict) and schema.keys() <= NOTES)


def _different(schemas: list[Any]) -> list[Any]:
    found: list[Any] = []
    for schema in schemas:
        # Only against the first few: many branches that all differ would cost the square of their number.
        if not any(same_schema(schema, other) for other in found[:16]):
            found.append(schema)
    return found
