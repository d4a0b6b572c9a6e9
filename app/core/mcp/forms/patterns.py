"""Patterns of schemas, tried in an engine whose work is bounded (ECMA-262, as JSON Schema asks for).

Python's own `re` backtracks: `^(\\w+\\s?){8}$` on sixty letters takes seconds and holds the interpreter lock.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corvus_json_schema_rs import Validator

# In characters. Compiling takes up to 20 ms for such a pattern, and matching 3 ms for ten times such a text.
PATTERN_LIMIT = 5_000
TEXT_LIMIT = 1_000_000
# Each class of Unicode takes 0.3 ms and 150 KB.
CLASSES_LIMIT = 50
# Only back-references and a few look-arounds can take longer. The engine holds the interpreter lock meanwhile.
SECONDS = 0.01


class UntriedPattern(Exception):
    """The engine has no answer. The message says why, as the end of a sentence."""


class SlowPattern(UntriedPattern):
    """The engine has no answer for this text in time. It may have one for another."""

    def __init__(self) -> None:
        super().__init__("trying it takes too long")


def matches(pattern: str, text: str) -> bool:
    """Whether `pattern` matches somewhere in `text`, within 10 ms. Raises `UntriedPattern` or `SlowPattern`."""
    try:
        from corvus_json_schema_rs import PatternMatchLimitError
    except ImportError:
        # There is no wheel for every machine, and nothing else depends on it.
        raise UntriedPattern("this machine has no engine for patterns") from None
    if len(text) > TEXT_LIMIT:
        raise UntriedPattern("the text is too long")
    compiled = _compiled(pattern)
    if isinstance(compiled, str):
        raise UntriedPattern(compiled)
    try:
        return compiled.is_valid(text)
    except PatternMatchLimitError:
        raise SlowPattern from None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Validator | str:
    """The compiled pattern, or why there is none."""
    import corvus_json_schema_rs as engine

    if len(pattern) > PATTERN_LIMIT or pattern.count("\\p") + pattern.count("\\P") > CLASSES_LIMIT:
        return "it is too large"
    try:
        return engine.compile({"pattern": pattern}, pattern_match_limit=SECONDS)
    except engine.PatternTooLargeError:
        return "it is too large"
    except (engine.SchemaCompilationError, ValueError):
        return "it is no regular expression"
