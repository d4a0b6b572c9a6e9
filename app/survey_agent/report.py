"""The report that the survey agent leaves: Markdown, the same for the same folder and prompt."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.survey_agent.survey import Survey

SHOWN = 40


@dataclass
class Told:
    """What the agent was told beside the folder: tool results, answers to its questions, words on the way."""

    tools: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)


def report(prompt: str, survey: Survey, told: Told, changes: Iterable[str]) -> str:
    """The whole report. `changes` are the commits since the last report."""
    lines = ["# Survey", "", *(f"> {line}" for line in prompt.splitlines()[:20]), ""]
    lines += _section("Files", _files(survey))
    lines += _section("What to look at", _findings(survey))
    lines += _section("History", [f"- {line}" for line in survey.log[:SHOWN]])
    lines += _section("Since the last report", [f"- {line}" for line in changes])
    lines += _section("What the tools say", [f"- `{name}`: {said}" for name, said in told.tools.items()])
    lines += _section("Answers", [f"- {question} **{answer}**" for question, answer in told.answers.items()])
    lines += _section("What was asked on the way", [f"- {words}" for words in told.words])
    return "\n".join(lines).rstrip() + "\n"


def patch_of(path: str, old: str | None, new: str) -> str:
    """The change of a file as `git diff` shows it."""
    before, after = ("" if old is None else old).splitlines(keepends=True), new.splitlines(keepends=True)
    source = "/dev/null" if old is None else f"a/{path}"
    kind = "new file mode 100644\n" if old is None else ""
    return f"diff --git a/{path} b/{path}\n{kind}" + "".join(difflib.unified_diff(before, after, source, f"b/{path}"))


def summary(survey: Survey, commit: str, branch: str) -> str:
    """The message at the end of a turn."""
    kinds = counted([finding.kind for finding in survey.findings])
    found = ", ".join(f"{number} × {kind}" for kind, number in kinds.items()) or "nothing to mend"
    first = [f"- `{each.path}:{each.line}` {each.text}" for each in survey.findings[:5]]
    where = f"The report is in `SURVEY.md`, commit `{commit}` on `{branch}`." if commit else ""
    return "\n".join(
        [
            f"I looked at **{len(survey.files)} files** and read {len(survey.read)} of them. I found {found}.",
            "",
            *first,
            *([""] if first else []),
            where,
        ]
    ).strip()


def counted(names: Iterable[str]) -> Mapping[str, int]:
    """How often each occurs, in the order of the first time."""
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found


def _files(survey: Survey) -> list[str]:
    languages = [f"{name} ({number} lines)" for name, number in survey.lines.most_common(6)]
    lines = [f"- {len(survey.files)} files, {sum(survey.sizes.values())} bytes", f"- read: {len(survey.read)}"]
    if languages:
        lines.append(f"- languages of what was read: {', '.join(languages)}")
    lines.append(f"- tests: {', '.join(f'`{path}`' for path in survey.tests[:5]) or 'none'}")
    if survey.authors:
        lines.append(f"- authors: {', '.join(f'{name} ({number})' for name, number in survey.authors.most_common(5))}")
    return lines


def _findings(survey: Survey) -> list[str]:
    if not survey.findings:
        return ["Nothing."]
    rows = [f"| `{each.path}:{each.line}` | {each.kind} | {_cell(each.text)} |" for each in survey.findings[:SHOWN]]
    return ["| where | kind | what |", "|---|---|---|", *rows]


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""] if lines else []


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
