"""The values of PostHog's API that Burrow shows and edits (docs/wire.md).

Field names are those of the API. The server's enumerations are open: values that this version does not know are kept.
Every field that an older server may leave out has a default. `msgspec.structs.replace` makes a changed copy.

They are structs and not dataclasses: fifteen dataclasses take 20 ms to define, at every start and before the list is
shown.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import msgspec

from app.core.posthog.task_fields import TaskText, cleaned

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

TERMINAL_STATUSES = frozenset({"completed", "failed", "cancelled"})

ApprovalState = Literal["approved", "needs_approval", "do_not_use"]


class Value(msgspec.Struct, frozen=True):
    """The base of immutable values that are compared by their fields."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list. `next` is an opaque cursor for the following page, None at the end.

    `unreadable` is the number of items that could not be decoded and were left out.
    """

    items: tuple[T, ...]
    count: int
    next: str | None = None
    unreadable: int = 0


class Organization(Value, frozen=True):
    id: str
    name: str = ""


class Project(Value, frozen=True):
    id: int
    name: str = ""
    organization: str | None = None


class User(Value, frozen=True):
    """`/api/users/@me/`, or the `created_by` of a task."""

    uuid: str = ""
    id: int | None = None
    distinct_id: str | None = None
    email: str = ""
    first_name: str = ""
    team: Project | None = None
    organization: Organization | None = None
    organizations: tuple[Organization, ...] = ()

    @property
    def account_key(self) -> str:
        """The key of the account on its host (docs/wire.md, "Rules for a client's sign-in")."""
        return self.uuid or self.distinct_id or self.email

    @property
    def short_name(self) -> str:
        """The first name, else the part of the e-mail address before the @."""
        return self.first_name or self.email.partition("@")[0] or "?"


class Membership(Value, frozen=True):
    """A user, their projects and the selected one. `sign_in` is the id of the sign-in that this was learnt for."""

    user: User
    projects: tuple[Project, ...] = ()
    project: Project | None = None
    sign_in: str = ""


class RunArtifact(Value, frozen=True):
    """A file of a run. `size` is in bytes; `type` and `source` say what it is (docs/wire.md, "Files of a run")."""

    id: str = ""
    name: str = ""
    type: str = ""
    source: str = ""
    size: int | None = None
    content_type: str = ""
    storage_path: str = ""


class TaskRun(Value, frozen=True):
    """`environment` is `local` or `cloud`; `status` is described in docs/wire.md, "Runs"."""

    id: str
    status: str = "not_started"
    task: str | None = None
    stage: str | None = None
    branch: str | None = None
    environment: str = "local"
    runtime_adapter: str | None = None
    model: str | None = None
    error_message: str | None = None
    output: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def finished(self) -> bool:
        """Whether the run can no longer change."""
        return self.status in TERMINAL_STATUSES


class Task(TaskText, frozen=True):
    """A task of a project; what a person writes into it is declared in `TaskText`."""

    id: str
    task_number: int | None = None
    slug: str = ""
    title_manually_set: bool = False
    origin_product: str = "user_created"
    internal: bool = False
    github_integration: int | None = None
    github_user_integration: str | None = None
    signal_report: str | None = None
    archived: bool = False
    archived_at: datetime | None = None
    latest_run: TaskRun | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_activity_at: datetime | None = None
    created_by: User | None = None
    json_schema: dict[str, Any] | None = None


class TaskQuery(Value, frozen=True):
    """Filters of the task list; empty means no filter. `archived`: False hides, True shows only archived."""

    search: str = ""
    archived: bool = False
    repository: str | None = None
    status: str | None = None
    created_by: int | None = None
    ordering: str = "-created_at"


class NewTask(TaskText, frozen=True):
    """A task that is not yet created."""


def new_task(texts: Mapping[str, Any]) -> NewTask:
    """A new task of typed or stored texts by the names of their fields; what is no field is left out."""
    return msgspec.convert(cleaned(texts), NewTask)


class ServerTemplate(Value, frozen=True):
    """A server on offer in the MCP store. `auth_type` is `api_key` or `oauth`."""

    id: str
    name: str = ""
    url: str = ""
    docs_url: str = ""
    description: str = ""
    auth_type: str = "api_key"
    category: str | None = None


class Installation(Value, frozen=True):
    """A server that the account or its team installed. `proxy_url` is absolute."""

    id: str
    name: str = ""
    display_name: str = ""
    url: str = ""
    description: str = ""
    auth_type: str = "api_key"
    template_id: str | None = None
    is_enabled: bool = True
    scope: str = "personal"
    needs_reauth: bool = False
    pending_oauth: bool = False
    proxy_url: str = ""
    tool_count: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def title(self) -> str:
        return self.name or self.display_name or self.url


class StoreTool(Value, frozen=True):
    """A tool as the MCP store knows it, with the effective approval state."""

    tool_name: str
    id: str = ""
    display_name: str = ""
    description: str = ""
    input_schema: dict[str, Any] = {}
    approval_state: str = "needs_approval"
    locked: bool = False
    removed_at: datetime | None = None
