"""Keywords that combine schemas, and references. They decide only where the outcomes of their parts do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.mcp.forms.evaluation import UNREADABLE, Problem, Untried

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.core.mcp.forms.evaluation import Evaluation, Keyword, Outcome, Spot

NONE_FITS = "It matches none of the kinds that the tool accepts."
SEVERAL_FIT = "It matches more than one of the kinds that the tool accepts."
# What tells one branch of a union from another.
TELLING = frozenset({"type", "const", "enum"})


def _branches(wanted: Any) -> list[Any]:
    if not isinstance(wanted, list) or not wanted:
        raise Untried(UNREADABLE)
    return wanted


def _reference(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    target = run.document.follow(wanted)
    if not isinstance(target, dict | bool):
        raise Untried("what it refers to is not in the schema")
    return _taken(run.check(target, value, spot.path), spot)


def _other_reference(_run: Evaluation, _wanted: Any, _value: Any, _spot: Spot) -> Sequence[Problem]:
    raise Untried("such references are not followed")


def _all_of(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    return [problem for part in _branches(wanted) for problem in _taken(run.check(part, value, spot.path), spot)]


def _any_of(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    found = run.try_each(_branches(wanted), value, spot.path)
    if _note_seen(run, found, spot, enough=any(outcome.valid for outcome, _ in found)):
        return ()
    return _closest([outcome for outcome, _ in found], spot)


def _one_of(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    found = run.try_each(_branches(wanted), value, spot.path)
    count = sum(outcome.valid for outcome, _ in found)
    if count > 1:
        return (Problem(spot.path, SEVERAL_FIT, "oneOf"),)
    # With one that fits for certain, another that might fit too leaves it open.
    if _note_seen(run, found, spot, enough=False) or count:
        return ()
    return _closest([outcome for outcome, _ in found], spot)


def _not(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    ((outcome, skipped),) = run.try_each([wanted], value, spot.path)
    if outcome.valid:
        return (Problem(spot.path, "It is of a kind that the tool does not accept.", "not"),)
    if not outcome.invalid:
        run.keep(skipped)
    return ()


def _if(run: Evaluation, wanted: Any, value: Any, spot: Spot) -> Sequence[Problem]:
    ((outcome, skipped),) = run.try_each([wanted], value, spot.path)
    if not outcome.valid and not outcome.invalid:
        run.keep(skipped)
        spot.seen.unsure = True
        return ()
    if outcome.valid:
        spot.seen.add(outcome.seen)
    branch = spot.schema.get("then" if outcome.valid else "else")
    return () if branch is None else _taken(run.check(branch, value, spot.path), spot)


def _taken(outcome: Outcome, spot: Spot) -> list[Problem]:
    spot.seen.add(outcome.seen)
    return outcome.problems


def _note_seen(run: Evaluation, found: list[tuple[Outcome, list[Problem]]], spot: Spot, *, enough: bool) -> bool:
    """Take over what the branches have seen. Whether at least one may fit; if none surely does, it is noted as open."""
    may_fit = False
    for outcome, skipped in found:
        if outcome.invalid:
            continue
        may_fit = True
        spot.seen.add(outcome.seen)
        if not outcome.valid:
            spot.seen.unsure = True
            if not enough:
                run.keep(skipped)
    return may_fit


def _closest(outcomes: list[Outcome], spot: Spot) -> Sequence[Problem]:
    """The problems of the one branch that was meant, where that can be told by types and fixed values."""
    meant = [outcome.problems for outcome in outcomes if not any(_tells(problem, spot) for problem in outcome.problems)]
    return meant[0] if len(meant) == 1 else (Problem(spot.path, NONE_FITS, "anyOf"),)


def _tells(problem: Problem, spot: Spot) -> bool:
    depth = len(problem.path) - len(spot.path)
    return problem.keyword in TELLING and (depth == 0 or (depth == 1 and problem.keyword != "type"))


KEYWORDS: Mapping[str, Keyword] = {
    "$ref": _reference,
    "$dynamicRef": _other_reference,
    "$recursiveRef": _other_reference,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
}
