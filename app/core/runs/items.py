"""What the transcript of a run consists of: one immutable value for each message, tool call, plan and so on.

They follow the Agent Client Protocol (https://agentclientprotocol.com/protocol/schema) and its extensions in run logs
(docs/wire.md, "Run logs"). Enumerations of agents are open: words that this version does not know are kept as they are.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from app.core.posthog.types import Value

if TYPE_CHECKING:
    from typing import TypeAlias


class Item(Value, frozen=True, kw_only=True):
    """The base of what is listed. `key` stays the same while the item grows, and after a reload of the history.

    `turn` counts the prompts before it, from 0 for what comes before the first. `parent` is the key of the tool call of
    the sub-agent that it belongs to, empty at the top. `late` says that it arrived after its turn was cancelled.
    """

    key: str
    turn: int = 0
    at: datetime | None = None
    parent: str = ""
    late: bool = False


class Prompt(Item, frozen=True):
    """What the person, or the task, asked. `files` are the names of attachments and linked resources."""

    text: str
    files: tuple[str, ...] = ()


class Message(Item, frozen=True):
    """What the agent says, in Markdown. `open` while chunks may still be added."""

    text: str
    open: bool = False


class Thought(Item, frozen=True):
    """What the agent thinks aloud, in Markdown."""

    text: str
    open: bool = False


class TextPart(Value, frozen=True, tag="text"):
    """Text that a tool returned. `terminal` says that it is the output of a program."""

    text: str
    terminal: bool = False


class DiffPart(Value, frozen=True, tag="diff"):
    """A changed file. `old` is None for a new one."""

    path: str
    old: str | None
    new: str


class FilePart(Value, frozen=True, tag="file"):
    """A resource, image or sound that a tool returned. `data` is Base64, empty for a link or where it is left out."""

    name: str
    uri: str = ""
    media_type: str = ""
    data: str = ""


class OtherPart(Value, frozen=True, tag="other"):
    """Content of a kind that this version does not know, as JSON text."""

    text: str


if TYPE_CHECKING:
    Part: TypeAlias = TextPart | DiffPart | FilePart | OtherPart


class Location(Value, frozen=True):
    """A place in a file. `line` counts from 1."""

    path: str
    line: int | None = None


class ToolCall(Item, frozen=True):
    """A tool that the agent called.

    `kind`: `read`, `edit`, `delete`, `move`, `search`, `execute`, `think`, `fetch`, `switch_mode`, `question`, `mcp`,
    `agent`, `other` or a later word. `status`: `pending`, `in_progress`, `completed`, `failed`, or `cancelled` where
    its turn was cancelled first. `input` and `output` are JSON text, `server` and `tool` name a tool of MCP.
    `announced` is False for one that was only ever updated.
    """

    call_id: str
    title: str
    kind: str = "other"
    status: str = "pending"
    server: str = ""
    tool: str = ""
    locations: tuple[Location, ...] = ()
    parts: tuple[TextPart | DiffPart | FilePart | OtherPart, ...] = ()
    input: str = ""
    output: str = ""
    announced: bool = True
    ended_at: datetime | None = None


class PlanEntry(Value, frozen=True):
    """`status`: `pending`, `in_progress`, `completed`. `priority`: `high`, `medium`, `low`."""

    content: str
    status: str = "pending"
    priority: str = "medium"


class Plan(Item, frozen=True):
    """The agent's plan; one for each turn, replaced as a whole by each update."""

    entries: tuple[PlanEntry, ...]


class SetupStep(Value, frozen=True):
    """A step of preparing the machine. `status`: `in_progress`, `completed`, `failed`."""

    step: str
    label: str
    status: str = "in_progress"
    detail: str = ""


class Setup(Item, frozen=True):
    """The steps of one group, in the order in which they began."""

    group: str
    steps: tuple[SetupStep, ...]


class PermissionOption(Value, frozen=True):
    """`kind`: `allow_once`, `allow_always`, `reject_once`, `reject_always`. `wants_text`: it is sent with free text."""

    option_id: str
    name: str
    kind: str = ""
    description: str = ""
    wants_text: bool = False


class QuestionChoice(Value, frozen=True):
    label: str
    description: str = ""


class Question(Value, frozen=True):
    """One question of a question tool."""

    text: str
    header: str = ""
    choices: tuple[QuestionChoice, ...] = ()
    several: bool = False


class Permission(Item, frozen=True):
    """The agent asks whether it may go on, or asks `questions`. `plan` is the plan that it asks to approve.

    `answer` is empty while it waits, else the id of the option that was chosen, or `cancelled`; `answer_name` is the
    name of that option. `streamed`: a stream asked, whose ids are those that answers must have.
    """

    request_id: str
    call_id: str
    title: str
    kind: str = ""
    options: tuple[PermissionOption, ...] = ()
    questions: tuple[Question, ...] = ()
    parts: tuple[TextPart | DiffPart | FilePart | OtherPart, ...] = ()
    plan: str = ""
    input: str = ""
    answer: str = ""
    answer_name: str = ""
    streamed: bool = False


class Notice(Item, frozen=True):
    """What the run says about itself. `level`: `debug`, `info`, `warn`, `error`. `source` names what it is about."""

    text: str
    level: str = "info"
    source: str = ""


class ShellCommand(Item, frozen=True):
    """A command that the person ran beside the agent. `exit_code` is None while it runs."""

    command: str
    folder: str = ""
    output: str = ""
    exit_code: int | None = None


class TurnEnd(Item, frozen=True):
    """The agent's turn ended. `reason`: `end_turn`, `cancelled`, `refusal`, `max_tokens`, `max_turn_requests`, …"""

    reason: str


class Unknown(Item, frozen=True):
    """An entry of a kind that this version does not know. `text` is its JSON."""

    method: str
    text: str


class Usage(Value, frozen=True):
    """Tokens of the context in use. `size` is 0 where it is not known."""

    used: int
    size: int = 0


class ConfigChoice(Value, frozen=True):
    value: str
    name: str
    description: str = ""


class ConfigOption(Value, frozen=True):
    """A setting of the session that can change while it runs. `category`: `mode`, `model`, `thought_level` or empty."""

    id: str
    name: str
    value: str
    choices: tuple[ConfigChoice, ...] = ()
    category: str = ""


class SessionState(Value, frozen=True):
    """What the log says of the session as a whole, after its last entry.

    `accepts` says that `run_started` was seen: the agent takes messages from now on. `busy` that a turn is under way.
    `waiting` are the keys of the `Permission` items without an answer, oldest first. `branch` is the last one that the
    agent said it made.
    """

    accepts: bool = False
    busy: bool = False
    turn: int = 0
    waiting: tuple[str, ...] = ()
    usage: Usage | None = None
    options: tuple[ConfigOption, ...] = ()
    commands: tuple[str, ...] = ()
    compacting: bool = False
    branch: str = ""
