"""Checking arguments against a tool's schema before they are sent. It helps the user; the server decides.

Schemas come from servers that nobody controls. So the check runs in a worker thread, fetches nothing and ends after
half a second. A keyword that cannot be tried is left out alone and named, and the rest is checked.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.core.mcp.forms.evaluation import Path, Problem

SECONDS = 0.5
PROBLEMS_LIMIT = 50
UNCHECKED_LIMIT = 20
NOUNS = {
    "pattern": "The pattern",
    "patternProperties": "A pattern of names",
    "$ref": "A part that is referred to",
    "schema": "A part of the schema",
}


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one argument, or what about it was not checked.

    `path` is its name, or names and indexes joined by `/`; empty for the arguments as a whole. `argument` is the name
    alone, which may hold a `/` itself; by default it is the path up to the first one.
    """

    path: str
    message: str
    argument: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "argument", self.argument or self.path.partition("/")[0])


@dataclass(frozen=True)
class ValidationResult:
    """The problems that were found, and what was left to the server. Each has a sentence for the user."""

    problems: tuple[FieldProblem, ...] = ()
    unchecked: tuple[FieldProblem, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything was checked, so that there are no more problems than these."""
        return not self.unchecked


async def validate(schema: Any, arguments: Any, *, seconds: float = SECONDS) -> ValidationResult:
    """Check `arguments` in a worker thread. Never raises."""
    return await asyncio.to_thread(check, schema, arguments, seconds=seconds)


def check(schema: Any, arguments: Any, *, seconds: float = SECONDS) -> ValidationResult:
    """Check `arguments`, or any other value, on the calling thread. Never raises.

    It takes up to `seconds` and 10 ms more, and the interpreter lock is free in between. Numbers may be int, `Decimal`
    or float, and are compared exactly.
    """
    # In the worker thread: a start that shows a form has 10 ms less to import.
    from app.core.mcp.forms.evaluation import Evaluation
    from app.core.mcp.forms.keywords.table import KEYWORDS

    run = Evaluation(schema, KEYWORDS, seconds)
    outcome = run.check(schema, arguments, ())
    problems = dict.fromkeys(_problem(problem) for problem in _spread(outcome.problems)[: 2 * PROBLEMS_LIMIT])
    unchecked = dict.fromkeys(_unchecked(skipped) for skipped in _first_each(run.skipped))
    if len(outcome.problems) > PROBLEMS_LIMIT:
        unchecked[FieldProblem("", "There are more problems than these.")] = None
    return ValidationResult(tuple(problems)[:PROBLEMS_LIMIT], tuple(unchecked)[:UNCHECKED_LIMIT])


def _spread(problems: list[Problem]) -> list[Problem]:
    """The first problem of each argument before the others: a list of many wrong items must not hide what else is."""
    first: dict[str, Problem] = {}
    others = [problem for problem in problems if first.setdefault(_argument(problem.path), problem) is not problem]
    return [*first.values(), *others]


def _first_each(skipped: list[Problem]) -> list[Problem]:
    """Each skipped keyword once. When the time was over, everything after it was skipped, which is said in one line."""
    from app.core.mcp.forms.evaluation import TOO_LONG

    ended = [problem for problem in skipped if problem.words == TOO_LONG][:1]
    found = dict.fromkeys(problem for problem in skipped if problem.words != TOO_LONG)
    return [*found, *(problem._replace(path=(), keyword="") for problem in ended)]


def _problem(problem: Problem) -> FieldProblem:
    return FieldProblem(_joined(problem.path), problem.words, _argument(problem.path))


def _unchecked(problem: Problem) -> FieldProblem:
    what = NOUNS.get(problem.keyword, f"“{problem.keyword}”" if problem.keyword else "The rest")
    words = f"{what} is checked by the server: {problem.words}."
    return FieldProblem(_joined(problem.path), words, _argument(problem.path))


def _joined(path: Path) -> str:
    return "/".join(str(part) for part in path)


def _argument(path: Path) -> str:
    return str(path[0]) if path else ""
