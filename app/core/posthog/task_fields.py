"""The fields of a task that a person writes, and how each is entered, cleaned, sent and compared.

`TaskText` is the one declaration. Tasks and new tasks have its fields. The composer, the draft, the outbox, the
request, the facts of a task and the options of the command line follow from it. A further field is one line there.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TITLE_LENGTH = 255
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class TaskFieldKind(Enum):
    """How a field is entered: a line, several lines, or a line with suggestions."""

    LINE = "line"
    TEXT = "text"
    SUGGESTED = "suggested"


class TaskField(NamedTuple):
    """One field. `name` is that of the API and of the attribute; `None` stands for an empty one where `nullable`.

    `label` (with its mnemonic), `hint` and `mistake` are untranslated (context `TaskFields`). `pattern` is what a text
    that is not empty must match, else `mistake` says what is wrong. `clean` converts typed text to what is sent.
    `fact` says that it is listed among the facts of a task. `identifies` says that a task with another text is another
    task, for telling whether one that was sent has arrived.
    """

    name: str
    label: str
    kind: TaskFieldKind
    hint: str
    clean: Callable[[str], str]
    pattern: re.Pattern[str] | None
    mistake: str
    longest: int
    fact: bool
    identifies: bool
    nullable: bool

    @property
    def caption(self) -> str:
        """The label without its mnemonic."""
        return self.label.replace("&", "")


def one_line(text: str) -> str:
    """Words with one space between them."""
    return " ".join(text.split())


def lower_case(text: str) -> str:
    """As servers write the names of repositories."""
    return text.strip().lower()


def field(
    label: str,
    kind: TaskFieldKind = TaskFieldKind.LINE,
    *,
    hint: str = "",
    clean: Callable[[str], str] = one_line,
    pattern: re.Pattern[str] | None = None,
    mistake: str = "",
    longest: int = 0,
    fact: bool = True,
    identifies: bool = False,
) -> msgspec.Meta:
    """What `TaskField` says, but for what the struct itself says."""
    declared = TaskField("", label, kind, hint, clean, pattern, mistake, longest, fact, identifies, nullable=False)
    return msgspec.Meta(extra={"task_field": declared})


class TaskText(msgspec.Struct, frozen=True, kw_only=True):
    """What a person writes into a task."""

    title: Annotated[
        str,
        field(
            "&Title",
            hint="Taken from the description if left empty",
            clean=str.strip,
            longest=TITLE_LENGTH,
            fact=False,
            identifies=True,
        ),
    ] = ""
    description: Annotated[
        str,
        field(
            "&Description",
            TaskFieldKind.TEXT,
            hint="What should be done, where, and how will you know it is done?",
            clean=str.strip,
            fact=False,
            identifies=True,
        ),
    ] = ""
    repository: Annotated[
        str | None,
        field(
            "&Repository",
            TaskFieldKind.SUGGESTED,
            hint="organization/repository",
            clean=lower_case,
            pattern=REPOSITORY,
            mistake="Write it as organization/repository, or leave it empty.",
        ),
    ] = None


def _declared(info: msgspec.structs.FieldInfo) -> TaskField:
    [meta] = info.type.__metadata__
    declared: TaskField = meta.extra["task_field"]
    return declared._replace(name=info.name, nullable=info.default is None)


TASK_FIELDS: tuple[TaskField, ...] = tuple(map(_declared, msgspec.structs.fields(TaskText)))
BY_NAME: Mapping[str, TaskField] = {each.name: each for each in TASK_FIELDS}


def texts_of(task: TaskText) -> dict[str, str]:
    """What is written in a task, empty where nothing is."""
    return {each.name: getattr(task, each.name) or "" for each in TASK_FIELDS}


def cleaned(texts: Mapping[str, Any]) -> dict[str, str | None]:
    """Typed or stored texts as they are sent; a name that is not there is empty."""
    found: dict[str, str | None] = {}
    for each in TASK_FIELDS:
        text = each.clean(str(texts.get(each.name) or ""))
        found[each.name] = text if text or not each.nullable else None
    return found


def same_text(one: TaskText, other: TaskText) -> bool:
    """Whether two are probably the same task: `one` equals `other` in the fields that identify a task.

    A field of one line that is empty in `other` is not compared: the server may have filled it in.
    """
    there, wanted = texts_of(one), texts_of(other)
    return all(
        each.clean(there[each.name]) == each.clean(wanted[each.name])
        for each in TASK_FIELDS
        if each.identifies and (wanted[each.name] or each.kind is TaskFieldKind.TEXT)
    )
