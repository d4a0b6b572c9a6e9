"""JSON with comments, and where everything stands in its text (RFC 8259; comments and trailing commas as VS Code reads
them, https://code.visualstudio.com/docs/languages/json#_json-with-comments).

Only for editing in place: a scalar is kept as it is spelled, so that nothing is rounded when two texts are compared.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

DEPTH_LIMIT = 64
# Only for strings.
DECODER = json.JSONDecoder()
SPACE = re.compile(r"[ \t\n\r]*")
COMMENT = re.compile(r"//[^\n\r]*|/\*.*?\*/", re.DOTALL)
SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.+-])|(?:true|false|null)\b")


class NotReadable(ValueError):
    """The text is not JSON with comments. `at` is where, `words` say what is wrong."""

    def __init__(self, words: str, at: int) -> None:
        super().__init__(words)
        self.words = words
        self.at = at


@dataclass(frozen=True)
class JsonNode:
    """A value and where it stands: `text[start:end]`. `members` are those of an object, `items` those of a list.

    `comma` says whether a comma follows the last member, `tail` is the index behind all that the object contains:
    behind its last member, comma and comments, or behind the bracket that opens it.
    """

    start: int
    end: int
    text: str | None = None
    scalar: str | None = None
    members: tuple[JsonMember, ...] | None = None
    items: tuple[JsonNode, ...] | None = None
    comma: int | None = None
    tail: int = 0

    def member(self, name: str) -> JsonMember | None:
        """The member of this name, None where there is none."""
        return next((member for member in self.members or () if member.name == name), None)

    def value(self) -> object:
        """The value as Python has it; a number, true, false and null as `(spelling,)`."""
        if self.text is not None:
            return self.text
        if self.members is not None:
            return {member.name: member.node.value() for member in self.members}
        if self.items is not None:
            return [item.value() for item in self.items]
        return (self.scalar,)


@dataclass(frozen=True)
class JsonMember:
    """A member of an object: its name begins at `start`. `comma` is the index of the comma behind it, None without."""

    name: str
    start: int
    node: JsonNode
    comma: int | None = None


@dataclass(frozen=True)
class JsonDocument:
    """A text and its value; `root` is None for one that has only white space and comments. `end` is behind the last."""

    text: str
    root: JsonNode | None
    end: int


def read(text: str, *, comments: bool) -> JsonDocument:
    """Read a text. With `comments` they are allowed, and so is a comma behind the last member or item.

    Raises `NotReadable`, also for a name that an object has twice.
    """
    reader = _Reader(text, comments)
    at = reader.skip(0)
    if at == len(text):
        return JsonDocument(text, None, reader.content)
    root = reader.node(at, 0)
    at = reader.skip(root.end)
    if at != len(text):
        raise NotReadable("There is more after the end of the value", at)
    return JsonDocument(text, root, reader.content)


class _Reader:
    def __init__(self, text: str, comments: bool) -> None:
        self._text = text
        self._comments = comments
        # Behind the last comment or value that `skip` has passed.
        self.content = 0

    def skip(self, at: int) -> int:
        """The index of what comes next behind white space and comments."""
        self.content = at
        while True:
            at = _match(SPACE, self._text, at)
            if self._text[at : at + 1] != "/":
                return at
            found = COMMENT.match(self._text, at)
            if found is None:
                raise NotReadable("A comment has no end" if self._text[at : at + 2] == "/*" else "It is not valid", at)
            if not self._comments:
                raise NotReadable("A comment stands here, and this program reads no comments", at)
            at = self.content = found.end()

    def node(self, at: int, depth: int) -> JsonNode:
        if depth > DEPTH_LIMIT:
            raise NotReadable("It is nested too deeply", at)
        match self._text[at : at + 1]:
            case "{":
                return self._object(at, depth)
            case "[":
                return self._list(at, depth)
            case '"':
                text, end = self._string(at)
                return JsonNode(at, end, text=text)
        found = SCALAR.match(self._text, at)
        if found is None:
            raise NotReadable("The text ends too early" if at >= len(self._text) else "A value is expected", at)
        return JsonNode(at, found.end(), scalar=found[0])

    def _string(self, at: int) -> tuple[str, int]:
        try:
            text, end = DECODER.raw_decode(self._text, at)
        except json.JSONDecodeError as problem:
            raise NotReadable("A text has no closing quote, or a character that is not allowed", problem.pos) from None
        return str(text), end

    def _object(self, start: int, depth: int) -> JsonNode:
        members: list[JsonMember] = []
        names: set[str] = set()
        at = self.skip(start + 1)
        comma: int | None = None
        while self._text[at : at + 1] != "}":
            if members and comma is None:
                raise NotReadable("A comma or a closing bracket is expected", at)
            if self._text[at : at + 1] != '"':
                raise NotReadable("A name in double quotes is expected", at)
            name, end = self._string(at)
            if name in names:
                raise NotReadable(f"The name “{name[:60]}” appears twice", at)
            names.add(name)
            colon = self.skip(end)
            if self._text[colon : colon + 1] != ":":
                raise NotReadable("A colon is expected after the name", colon)
            node = self.node(self.skip(colon + 1), depth + 1)
            begin = at
            at = self.skip(node.end)
            comma = None
            if self._text[at : at + 1] == ",":
                comma = at
                at = self.skip(at + 1)
            members.append(JsonMember(name, begin, node, comma))
        self._refuse_trailing(comma)
        return JsonNode(start, at + 1, members=tuple(members), comma=comma, tail=self.content)

    def _list(self, start: int, depth: int) -> JsonNode:
        items: list[JsonNode] = []
        at = self.skip(start + 1)
        comma: int | None = None
        while self._text[at : at + 1] != "]":
            if items and comma is None:
                raise NotReadable("A comma or a closing bracket is expected", at)
            items.append(self.node(at, depth + 1))
            at = self.skip(items[-1].end)
            comma = None
            if self._text[at : at + 1] == ",":
                comma = at
                at = self.skip(at + 1)
        self._refuse_trailing(comma)
        return JsonNode(start, at + 1, items=tuple(items), comma=comma, tail=self.content)

    def _refuse_trailing(self, comma: int | None) -> None:
        if comma is not None and not self._comments:
            raise NotReadable("A comma stands before the closing bracket", comma)


def _match(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()
