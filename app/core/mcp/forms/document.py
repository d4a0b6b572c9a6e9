"""SchemaDocument: the JSON that the references of a schema point into. Nothing outside it is ever fetched."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from urllib.parse import unquote, urljoin

# Below these keywords stand values and not schemas.
VALUES = frozenset({"const", "default", "enum", "examples"})


class SchemaDocument:
    """A schema with what its references can name."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._known: dict[tuple[int, ...], tuple[Any, list[Any]]] = {}

    def known(self, parts: list[Any]) -> Any:
        """What was kept for exactly these parts of the document; None for nothing."""
        found = self._known.get(tuple(map(id, parts)))
        return None if found is None else found[0]

    def keep(self, parts: list[Any], value: Any) -> None:
        """Keep something that was worked out of parts of the document."""
        # The parts are kept too, so that nothing else gets their identity.
        self._known[tuple(map(id, parts))] = (value, parts)

    def follow(self, reference: object) -> Any:
        """The target of `#`, `#/a/b` or `#anchor`, each also after the `$id` of a part. None if there is none."""
        if not isinstance(reference, str):
            return None
        base, _, fragment = reference.partition("#")
        start = self._resource(base) if base else self.root
        if not fragment or start is None:
            return start
        return self._pointed(start, fragment) if fragment.startswith("/") else self._anchors.get(fragment)

    def _resource(self, base: str) -> Any:
        return self._ids.get(base) or self._ids.get(_joined(self._base, base))

    def _pointed(self, start: Any, pointer: str) -> Any:
        found = start
        for part in unquote(pointer[1:]).split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isascii() and name.isdecimal() and len(name) < 10:
                if int(name) >= len(found):
                    return None
                found = found[int(name)]
            else:
                return None
        return found

    @property
    def _base(self) -> str:
        stated = self.root.get("$id") if isinstance(self.root, dict) else None
        return stated.partition("#")[0] if isinstance(stated, str) else ""

    @cached_property
    def _ids(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for part in self._parts:
            stated = part.get("$id")
            if isinstance(stated, str):
                name = stated.partition("#")[0]
                found.setdefault(name, part)
                found.setdefault(_joined(self._base, name), part)
        return found

    @cached_property
    def _anchors(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for part in self._parts:
            # Draft 7 wrote an anchor as an `$id` of a fragment alone.
            for word in ("$anchor", "$id"):
                stated = part.get(word)
                if isinstance(stated, str) and (word == "$anchor" or stated.startswith("#")):
                    found.setdefault(stated.removeprefix("#"), part)
        return found

    @cached_property
    def _parts(self) -> list[dict[str, Any]]:
        """Every object in the document that may be a schema, the outer before the inner."""
        found: list[dict[str, Any]] = []
        layer = [self.root]
        while layer:
            below: list[Any] = []
            for item in layer:
                if isinstance(item, dict):
                    found.append(item)
                    below += [value for word, value in item.items() if word not in VALUES]
                elif isinstance(item, list):
                    below += item
            layer = below
        return found


def _joined(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference
