"""Environments that a repository keeps for local work: `.posthog-code/environments/*.toml` (contract section 9).

id = "default"
version = 1
name = "Default"
[setup]
script = "npm ci"
[[actions]]
name = "Test"
icon = "test"
command = "npm test"
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from typing import TYPE_CHECKING

import msgspec

from app.core.errors import Facts, Rejected
from app.core.posthog.types import Value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = ".posthog-code/environments"
LARGEST = 256 * 1024
MOST_FILES = 50
# In the place of a file's path: a run without an environment.
NONE = "none"


class EnvironmentAction(Value, frozen=True):
    """A button of a task: `command` runs in its worktree."""

    name: str
    command: str
    icon: str = ""


class WorkEnvironment(Value, frozen=True):
    """`file` is its path within the repository. `script` is empty without a setup."""

    id: str
    name: str
    file: str
    version: str = ""
    script: str = ""
    actions: tuple[EnvironmentAction, ...] = ()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the script: consent counts for exactly this text."""
        return hashlib.sha256(self.script.encode("utf-8", "surrogatepass")).hexdigest()


class FoundEnvironments(Value, frozen=True):
    """`wrong` says for each file that could not be read why, in a sentence."""

    environments: tuple[WorkEnvironment, ...] = ()
    wrong: tuple[tuple[str, str], ...] = ()


class _Setup(msgspec.Struct):
    script: str = ""


class _Action(msgspec.Struct):
    name: str
    command: str
    icon: str = ""


class _File(msgspec.Struct):
    id: str = ""
    version: int | float | str = ""
    name: str = ""
    setup: _Setup = msgspec.field(default_factory=_Setup)
    actions: list[_Action] = msgspec.field(default_factory=list)


def find_environments(folder: Path) -> FoundEnvironments:
    """The environments in a worktree or repository, by file name. It reads files, so call it in a thread."""
    found, wrong = [], []
    for name in _names(folder):
        try:
            found.append(_read(folder, name))
        except (OSError, ValueError, RecursionError) as failure:
            # The parser has no bound for what is nested.
            deep = isinstance(failure, RecursionError)
            said = "it is nested too deeply" if deep else getattr(failure, "strerror", None) or str(failure)
            wrong.append((f"{FOLDER}/{name}", f"It cannot be used: {said}."))
    return FoundEnvironments(tuple(found), tuple(wrong))


def setup_of(found: FoundEnvironments, file: str) -> WorkEnvironment | None:
    """The environment whose script sets a worktree up: that of `file`, or the first with a script where it is empty."""
    return next((each for each in found.environments if each.script and file in {"", each.file}), None)


def actions_of(found: FoundEnvironments, file: str) -> tuple[EnvironmentAction, ...]:
    """The commands of the environment of `file`, or those of all where it is empty."""
    return tuple(action for each in found.environments if file in {"", each.file} for action in each.actions)


def lacks(found: FoundEnvironments, file: str) -> bool:
    """Whether an environment was chosen that there is not."""
    return file not in {"", NONE, *(each.file for each in found.environments)}


def file_called(found: FoundEnvironments, named: str) -> str:
    """The file of the environment of that name, id or file name, or `NONE`. Raises `Rejected` (attr `environment`)."""
    if named == NONE:
        return NONE
    called = [each for each in found.environments if named.casefold() in _names_of(each)]
    if len(called) == 1:
        return called[0].file
    names = ", ".join(each.name for each in found.environments)
    known = f"There are: {names}, and {NONE}." if names else f"A repository keeps its environments in {FOLDER}."
    how_many = "Several environments are called" if called else "There is no environment called"
    raise Rejected(
        f"{how_many} {named}.", Facts(attr="environment"), action="Name one by its file." if called else known
    )


def _names_of(environment: WorkEnvironment) -> set[str]:
    file = environment.file.rpartition("/")[2]
    return {each.casefold() for each in (environment.name, environment.id, file, file.removesuffix(".toml"))}


def _names(folder: Path) -> Iterator[str]:
    try:
        names = sorted(os.listdir(folder / FOLDER))
    except OSError:
        return
    yield from [each for each in names if each.endswith(".toml")][:MOST_FILES]


def _read(folder: Path, name: str) -> WorkEnvironment:
    path = folder / FOLDER / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError("it leads out of the repository")
    if not path.is_file():
        # Reading a pipe would wait for its writer.
        raise ValueError("it is no file")
    with open(path, "rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"it has more than {LARGEST:,} bytes")
    given = msgspec.convert(tomllib.loads(data.decode("utf-8")), _File)
    stem = name.removesuffix(".toml")
    return WorkEnvironment(
        given.id or stem,
        given.name or given.id or stem,
        f"{FOLDER}/{name}",
        str(given.version),
        given.setup.script,
        tuple(EnvironmentAction(each.name, each.command, each.icon) for each in given.actions),
    )
