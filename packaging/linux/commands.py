"""The commands and options of Burrow as data, read from its own parsers for the manual page and the completions."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Option:
    """`flags` as typed; `value` is the word for its value, empty if it takes none. An operand has no flags."""

    flags: tuple[str, ...]
    value: str
    about: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """`words` are what is typed behind `burrow`; none for the window."""

    words: tuple[str, ...]
    about: str
    options: tuple[Option, ...]
    operands: tuple[Option, ...]
    commands: tuple[Command, ...]

    def all(self) -> Iterator[Command]:
        yield self
        for command in self.commands:
            yield from command.all()


def burrow() -> Command:
    """All of it: the window's options, and below it the commands (`app/__main__.py` dispatches them)."""
    from app.cli.main import _parser as cli
    from app.main.options import parser as window
    from app.workspace.__main__ import _parser as workspace

    root = read(window(), ())
    commands = [*read(cli(), ()).commands, read(workspace(), ("workspace",))]
    return Command((), root.about, root.options, root.operands, tuple(commands))


def read(parser: argparse.ArgumentParser, words: tuple[str, ...], about: str = "") -> Command:
    options: list[Option] = []
    operands: list[Option] = []
    commands: list[Command] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, below in action.choices.items():
                commands.append(read(below, (*words, name), helps.get(name, "")))
        elif action.help != argparse.SUPPRESS:
            (options if action.option_strings else operands).append(_option(parser, action))
    return Command(words, parser.description or about, tuple(options), tuple(operands), tuple(commands))


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> Option:
    choices = tuple(str(choice) for choice in action.choices or ())
    value = ""
    if action.nargs != 0:
        named = action.metavar if isinstance(action.metavar, str) else None
        value = named or ("|".join(choices) if choices else action.dest.upper().replace("_", "-"))
    words = parser._get_formatter()._expand_help(action) if action.help else ""
    return Option(tuple(action.option_strings), value, words, choices)


def flags_with_value(root: Command) -> list[str]:
    """Raises `ValueError` if a flag takes a value in one command and none in another: completion could not tell."""
    takes = {flag for command in root.all() for option in command.options if option.value for flag in option.flags}
    bare = {flag for command in root.all() for option in command.options if not option.value for flag in option.flags}
    if takes & bare:
        raise ValueError(f"with and without a value: {sorted(takes & bare)}")
    return sorted(takes)
