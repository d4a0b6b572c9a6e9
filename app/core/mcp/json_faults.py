"""Where a JSON text is wrong and why, in words. Only used once the reader has refused the text.

The texts here come from anywhere, so everything works token by token and never recurses.
"""

from __future__ import annotations

import json
import re

# A string, a number, a word such as NaN, or a sign. A backslash and the character after it belong together.
TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*|-?[A-Za-z]+|[{}\[\]:,]', re.DOTALL)
EXPONENT = re.compile(r"^-?[0-9.]+[eE][+-]?0*[1-9][0-9]{16,}$")
WORD = re.compile(r"-?[A-Za-z_$][\w$]*")
# The messages of the standard library, by how they begin.
WORDS = (
    ("Expecting property name", "A name in double quotes is expected"),
    ("Expecting ':'", "A colon is expected after the name"),
    ("Expecting ','", "A comma or a closing bracket is expected"),
    ("Expecting value", "A value is expected"),
    ("Illegal trailing comma", "A comma stands before the closing bracket"),
    ("Extra data", "There is more after the end of the value"),
    ("Unterminated string", "A text has no closing quote"),
    (
        "Invalid control character",
        "A text holds a line break or another control character, which is written as an escape like \\n",
    ),
    ("Invalid \\u", "After \\u, four hexadecimal digits are expected"),
    ("Invalid \\", "A backslash stands before a character that needs none"),
)
SPACE = " \t\n\r"


def place_of(text: str, at: int) -> tuple[int, int]:
    """The line and column of an index, counted from 1. Only a line feed ends a line."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def syntax_words(text: str, at: int, message: str) -> str:
    """What is wrong at an index, from the message of the standard library."""
    words = next((words for begin, words in WORDS if message.startswith(begin)), "It is not valid")
    if message.startswith(("Unterminated", "Invalid")):
        return words
    before, here = text[:at].rstrip(SPACE)[-1:], text[at : at + 1]
    if not text.strip(SPACE):
        return "There is no value"
    if not here:
        return "The text ends too early"
    if here in "}]" and before == ",":
        return "A comma stands before the closing bracket"
    if here == "'":
        return "Names and texts stand in double quotes"
    if not here.isascii() or not here.isprintable():
        return f"The character U+{ord(here):04X} may only stand inside a text"
    if here in "+." or (here.isdigit() and before == "0"):
        return "A number begins with a minus sign or a digit, and with 0 only before a fraction"
    word = WORD.match(text, at)
    if word is not None and message.startswith("Expecting value"):
        return f"{word[0][:60]} is not a JSON value"
    return words


def twice_at(text: str) -> int:
    """The index of the first name that its object has already."""
    names: list[set[str] | None] = []
    last: re.Match[str] | None = None
    for token in TOKEN.finditer(text):
        match token[0]:
            case "{":
                names.append(set())
            case "[":
                names.append(None)
            case "}" | "]" if names:
                names.pop()
            case ":" if last is not None and names and (found := names[-1]) is not None:
                name = json.loads(last[0])
                if name in found:
                    return last.start()
                found.add(name)
        last = token
    return 0


def too_deep_at(text: str, levels: int) -> int:
    """The index of the bracket that opens one level too many."""
    depth = 0
    for token in TOKEN.finditer(text):
        if token[0] in "{[":
            depth += 1
            if depth > levels:
                return token.start()
        elif token[0] in "}]":
            depth -= 1
    return 0


def exponent_at(text: str) -> int:
    """The index of the first number with an exponent that no `Decimal` has."""
    return next((token.start() for token in TOKEN.finditer(text) if EXPONENT.search(token[0])), 0)


def word_at(text: str, word: str) -> int:
    """The index of the first `word` that is not inside a string."""
    return next((token.start() for token in TOKEN.finditer(text) if token[0] == word), 0)
