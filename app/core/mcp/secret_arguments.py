"""Which arguments of a call are secret: by the tool's schema (`format: password`, `writeOnly`), by name or look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from app.core.mcp.json_text import NotJson, parse_json, write_json
from app.core.redaction import REDACTED, redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# As deep as arguments are followed. What is nested deeper counts as secret.
DEPTH = 64
# As many parts of a schema are searched for one that is secret.
PARTS = 20_000
ALTERNATIVES_DEPTH, ALTERNATIVES = 6, 50
OTHER_MEMBERS = ("additionalProperties", "unevaluatedProperties")
EACH_ITEM = ("items", "additionalItems", "contains")


def without_secrets(
    arguments: Mapping[str, Any], schema: Any, *, by_look: bool = True
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A copy of the arguments of a call without those that are secret, and the paths of what was left out.

    With `by_look`, a text that looks like a credential is replaced, whatever its name.
    """
    search = _Search(schema, by_look=by_look)
    return search.object(dict(arguments), schema, "", DEPTH), tuple(search.omitted)


def secret_texts(arguments: Mapping[str, Any], schema: Any) -> tuple[str, ...]:
    """The texts and numbers of the arguments that are secret by schema or name, as text."""
    search = _Search(schema, by_look=False)
    search.object(dict(arguments), schema, "", DEPTH)
    found: list[str] = []
    waiting = search.secrets
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
        elif value is not None and not isinstance(value, bool):
            found.append(str(value))
    return tuple(found)


def text_without_secrets(text: str, schema: Any, name: str | None = None) -> str | None:
    """A JSON text of arguments as it was typed, or without those that are secret; of one argument, with its `name`.

    None for a text that is no JSON, where the schema declares a secret that may be in it.
    """
    declared = declares_secret(schema)
    if not declared and redact_text(text) == text:
        return text
    try:
        value = parse_json(text)
    except NotJson:
        return None if declared else text
    if name is None and not isinstance(value, dict):
        return None if declared else text
    kept, omitted = without_secrets(value if name is None else {name: value}, schema, by_look=False)
    if not omitted:
        return text
    return write_json(kept if name is None else kept[name]) if name is None or name in kept else None


def is_secret(name: str, text: str, schema: Any) -> bool:
    """Whether the argument of that name, whose value is typed as `text`, is secret as a whole."""
    search = _Search(schema, by_look=False)
    return search.is_secret(_merged(search.members(schema, name))) or _is_secret_name(name, text)


def declares_secret(schema: Any) -> bool:
    """Whether any part of a schema is declared to be secret."""
    waiting, seen = [schema], 0
    while waiting:
        part = waiting.pop()
        seen += 1
        if seen > PARTS or (isinstance(part, dict) and _is_declared(part)):
            return True
        inner: Iterable[Any] = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        waiting += [one for one in inner if isinstance(one, dict | list)]
    return False


class _Search:
    """One search. `omitted` are the paths of what was left out, `secrets` the values."""

    def __init__(self, root: Any, *, by_look: bool) -> None:
        self._root, self._by_look = root, by_look
        self.omitted: list[str] = []
        self.secrets: list[Any] = []

    def object(self, value: dict[str, Any], schema: Any, path: str, depth: int) -> dict[str, Any]:
        if depth <= 0:
            self.omitted.append(path)
            return {}
        kept = {}
        for name, item in value.items():
            where = f"{path}.{name}" if path else str(name)
            inner = _merged(self.members(schema, name))
            if self.is_secret(inner) or _is_secret_name(str(name), item):
                self.omitted.append(where)
                self.secrets.append(item)
            else:
                kept[name] = self._value(item, inner, where, depth - 1)
        return kept

    def members(self, schema: Any, name: Any) -> list[Any]:
        """What may say what the member of that name is."""
        return [inner for part in self._alternatives(schema) for inner in _members(part, name)]

    def is_secret(self, schema: Any) -> bool:
        return any(map(_is_declared, self._alternatives(schema)))

    def _value(self, value: Any, schema: Any, path: str, depth: int) -> Any:
        if isinstance(value, dict):
            return self.object(value, schema, path, depth)
        if isinstance(value, list):
            return self._list(value, schema, path, depth)
        if not self._by_look or not isinstance(value, str) or redact_text(value) == value:
            return value
        self.omitted.append(path)
        return REDACTED

    def _list(self, value: list[Any], schema: Any, path: str, depth: int) -> list[Any]:
        if depth <= 0:
            self.omitted.append(path)
            return []
        parts, kept = self._alternatives(schema), []
        for place, item in enumerate(value):
            inner, where = _merged(_items(parts, place)), f"{path}[{place}]"
            if self.is_secret(inner):
                self.omitted.append(where)
                self.secrets.append(item)
            else:
                kept.append(self._value(item, inner, where, depth - 1))
        return kept

    def _alternatives(self, schema: Any, depth: int = ALTERNATIVES_DEPTH) -> list[Mapping[str, Any]]:
        """A schema and those that it refers to or combines, any of which may say what a value is."""
        if not isinstance(schema, dict) or depth <= 0:
            return []
        found: list[Mapping[str, Any]] = [schema]
        target = _resolved(schema.get("$ref"), self._root)
        if target is not None:
            found += self._alternatives(target, depth - 1)
        for word in ("allOf", "anyOf", "oneOf"):
            parts = schema.get(word)
            for part in parts[:ALTERNATIVES] if isinstance(parts, list) else ():
                found += self._alternatives(part, depth - 1)
        for word in ("if", "then", "else"):
            found += self._alternatives(schema.get(word), depth - 1)
        return found


def _merged(schemas: list[Any]) -> Any:
    return {"allOf": schemas} if len(schemas) > 1 else (schemas[0] if schemas else {})


def _members(schema: Mapping[str, Any], name: Any) -> list[Any]:
    """What a schema says about the member of that name. Patterns are not tried: each of them counts."""
    properties, patterns = schema.get("properties"), schema.get("patternProperties")
    if isinstance(properties, dict) and name in properties:
        return [properties[name]]
    found = list(patterns.values()) if isinstance(patterns, dict) else []
    return [*found, *(schema[word] for word in OTHER_MEMBERS if isinstance(schema.get(word), dict))]


def _items(schemas: list[Mapping[str, Any]], place: int) -> list[Any]:
    """What schemas say about the item at a place of a list, in any draft of JSON Schema."""
    found: list[Any] = []
    for schema in schemas:
        for word in ("prefixItems", "items"):
            each = schema.get(word)
            if isinstance(each, list) and place < len(each):
                found.append(each[place])
        found += [schema[word] for word in EACH_ITEM if isinstance(schema.get(word), dict)]
    return found


def _resolved(reference: Any, root: Any) -> Any:
    if reference == "#":
        return root
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: Any = root
    for part in reference[2:].split("/"):
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        elif isinstance(found, dict) and name in found:
            found = found[name]
        else:
            return None
    return found


def _is_declared(schema: Mapping[str, Any]) -> bool:
    return schema.get("format") == "password" or schema.get("writeOnly") is True


def _is_secret_name(name: str, value: Any) -> bool:
    """Whether a value with such a name is redacted everywhere else too."""
    if not isinstance(value, str) or not value:
        return False
    pair = f"{name}={value.split()[0] if value.split() else value}"
    return REDACTED in redact_text(pair) and REDACTED not in name
