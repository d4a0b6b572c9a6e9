"""The manual page `burrow.1`, written from the parsers (man(7))."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from linux.about import DESCRIPTION, SUMMARY

if TYPE_CHECKING:
    from linux.about import Release
    from linux.commands import Command, Option

ENVIRONMENT = (("BURROW_DATA", "The folder for all data, unless --data says another one."),)
EXIT_STATUS = (
    ("0", "It is done."),
    ("1", "It failed; standard error says why and what to do."),
    ("2", "The command line was wrong."),
    ("128+N", "Signal N ended it."),
)


def page(root: Command, release: Release) -> str:
    date = datetime.fromtimestamp(release.epoch, UTC).strftime("%Y-%m-%d")
    lines = [f'.TH BURROW 1 {date} "Burrow {release.version}" "User Commands"']
    lines += [".SH NAME", text(f"burrow - {SUMMARY[0].lower()}{SUMMARY[1:]}"), ".SH SYNOPSIS"]
    lines += [".B burrow", text(f"[OPTION]… {' '.join(operand.value for operand in root.operands)}".strip()), ".br"]
    lines += [".B burrow", r"\fICOMMAND\fR [OPTION]…", ".SH DESCRIPTION"]
    for words in DESCRIPTION:
        lines += [text(words), ".PP"]
    lines += ["Without a command it opens the window.", ".SH OPTIONS", *_options(root)]
    lines.append(".SH COMMANDS")
    for command in root.all():
        if command.words and not command.commands:
            lines += [f".SS burrow {text(_usage(command))}", text(command.about), *_options(command)]
    for title, rows in (("ENVIRONMENT", ENVIRONMENT), ("EXIT STATUS", EXIT_STATUS)):
        lines.append(f".SH {title}")
        for name, words in rows:
            lines += [".TP", rf"\fB{text(name)}\fR", text(words)]
    return "\n".join(line for line in lines if line) + "\n"


def _usage(command: Command) -> str:
    return " ".join([*command.words, "[OPTION]…", *(operand.value for operand in command.operands)])


def _options(command: Command) -> list[str]:
    lines = []
    for option in (*command.operands, *command.options):
        lines += [".TP", _names(option), text(option.about or option.value)]
    return lines


def _names(option: Option) -> str:
    if not option.flags:
        return rf"\fI{text(option.value)}\fR"
    value = rf" \fI{text(option.value)}\fR" if option.value else ""
    return ", ".join(rf"\fB{text(flag)}\fR{value}" for flag in option.flags)


def text(words: str) -> str:
    """Lines that roff takes as they are: no escapes, no requests, hyphens that can be copied."""
    plain = words.replace("\\", r"\e").replace("-", r"\-")
    lines = textwrap.wrap(plain, 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join(rf"\&{line}" if line.startswith((".", "'")) else line for line in lines)
