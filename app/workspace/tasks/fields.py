"""What clients may write: the fields of a task and of a run, checked (docs/wire.md, "Tasks" and "Starting a run")."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from app.workspace.code_host.rows import PROJECT_INTEGRATION
from app.workspace.tasks.models import model_refusal
from app.workspace.web.errors import validation
from app.workspace.web.fields import as_uuid, boolean, checked_text, choice, identifier, integer, items, mapping, text

if TYPE_CHECKING:
    from collections.abc import Mapping

ORIGINS = (
    "onboarding",
    "error_tracking",
    "eval_clusters",
    "user_created",
    "automation",
    "slack",
    "support_queue",
    "session_summaries",
    "posthog_ai",
    "experiments",
    "signal_report",
    "signals_scout",
    "support_reply",
    "hogdesk",
    "review_hog",
    "image_builder",
    "loop",
    "mcp_analytics",
    "signals_chat",
    "workflow",
)
SERVER_ORIGINS = frozenset(
    {"image_builder", "experiments", "signals_scout", "support_reply", "onboarding", "signals_chat", "workflow"}
)
RUNTIMES = ("acp", "pi")
REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")
LONGEST_PROMPT = 1_000_000

STATUSES = ("not_started", "queued", "in_progress", "completed", "failed", "cancelled")
TERMINAL = frozenset({"completed", "failed", "cancelled"})
ENVIRONMENTS = ("local", "cloud")
MODES = ("interactive", "background")
EFFORTS = ("low", "medium", "high", "xhigh", "max", "ultracode")
PROVIDERS = {"claude": "anthropic", "codex": "openai"}
PERMISSION_MODES = {
    "claude": ("default", "acceptEdits", "plan", "bypassPermissions", "auto"),
    "codex": ("plan", "auto", "read-only", "full-access"),
}
MOST_IMPORTED_SERVERS = 20
IMPORTED_BYTES = 32 * 1024


def read_new_task(body: Mapping[str, object]) -> dict[str, object]:
    """The column values of a task to create. Raises the validation error of the first bad field."""
    values = _shared(body)
    title = (text(body, "title", maximum=255) or "").strip()
    description = text(body, "description", maximum=LONGEST_PROMPT) or ""
    if not title and not description.strip():
        raise validation("This field is required.", "description", "required")
    values["title"] = title or _first_line(description)
    values["description"] = description
    values["title_manually_set"] = boolean(body, "title_manually_set") or False
    values.setdefault("origin_product", "user_created")
    values["runtime"] = choice(body, "runtime", RUNTIMES) or "acp"
    values["archived"] = boolean(body, "archived") or False
    _check_hints(body)
    return values


def read_task_change(body: Mapping[str, object]) -> dict[str, object]:
    """The column values a PATCH sets; absent fields are absent."""
    values = _shared(body)
    if "title" in body:
        values["title"] = checked_text(body["title"], "title", maximum=255, blank=False)
    if "description" in body:
        values["description"] = checked_text(body["description"], "description", maximum=LONGEST_PROMPT)
    for name in ("title_manually_set", "archived"):
        if name in body:
            values[name] = boolean(body, name, needed=True)
    return values


def read_run(body: Mapping[str, object]) -> dict[str, object]:
    """The options of a run to create, checked; keys as on the wire, absent ones left out."""
    found: dict[str, object] = {
        "mode": choice(body, "mode", MODES) or "background",
        "branch": text(body, "branch", maximum=255),
        "resume_from_run_id": identifier(body, "resume_from_run_id"),
        "pr_authorship_mode": choice(body, "pr_authorship_mode", ("user", "bot")),
        "auto_publish": boolean(body, "auto_publish"),
        "run_source": choice(body, "run_source", ("manual", "signal_report", "agent")),
        "signal_report_id": identifier(body, "signal_report_id"),
        "rtk_enabled": boolean(body, "rtk_enabled"),
        "context_window": text(body, "context_window", maximum=50),
        "fast_mode": boolean(body, "fast_mode"),
        **_model(body),
        **read_pending_message(body),
    }
    text(body, "github_user_token", maximum=1000)
    for name in ("sandbox_environment_id", "custom_image_id"):
        asked = identifier(body, name)
        if asked is not None:
            raise does_not_exist(name, asked)
    found["imported_mcp_servers"] = _imported(body)
    found["relayed_mcp_servers"] = _relayed(body)
    return {name: value for name, value in found.items() if value is not None}


def read_pending_message(body: Mapping[str, object]) -> dict[str, object]:
    """The first message of a run, and the ids of the files with it (`staged_files.py`)."""
    name = "pending_user_artifact_ids"
    ids = items(body, name, lambda value: checked_text(value, name), maximum=100)
    return {"pending_user_message": text(body, "pending_user_message", maximum=LONGEST_PROMPT), name: ids or None}


def read_run_change(body: Mapping[str, object]) -> dict[str, object]:
    """The column values a PATCH of a run sets, plus `state` to merge and `state_remove_keys`."""
    values: dict[str, object] = {}
    status = choice(body, "status", STATUSES)
    if status is not None:
        values["status"] = status
    for name, maximum in (("branch", 255), ("stage", 100), ("error_message", 100_000)):
        if name in body:
            values[name] = text(body, name, maximum=maximum)
    if "output" in body:
        values["output"] = mapping(body, "output")
    environment = choice(body, "environment", ENVIRONMENTS)
    if environment is not None:
        if environment != "local":
            raise validation("A run can only be moved to the local environment.", "environment", "invalid")
        values["environment"] = environment
    values["state"] = mapping(body, "state") or {}
    removed = items(body, "state_remove_keys", lambda value: checked_text(value, "state_remove_keys"), maximum=100)
    values["state_remove_keys"] = list(removed or ())
    return values


def repository_name(value: object, attr: str) -> str:
    """A repository as `organization/repository` in lower case."""
    name = checked_text(value, attr, maximum=255).strip()
    if not REPOSITORY.fullmatch(name):
        raise validation("Repository must be in the format organization/repository.", attr, "invalid")
    return name.lower()


def _shared(body: Mapping[str, object]) -> dict[str, object]:
    """The column values that both a new task and a change may set."""
    values: dict[str, object] = {}
    origin = choice(body, "origin_product", ORIGINS)
    if origin is not None:
        if origin in SERVER_ORIGINS:
            raise validation("This origin product is set by the server only.", "origin_product", "invalid")
        values["origin_product"] = origin
    if "repository" in body:
        given = body["repository"]
        values["repository"] = None if given in (None, "") else repository_name(given, "repository")
    several = items(body, "repositories", lambda value: repository_name(value, "repositories"), maximum=10)
    if several:
        if body.get("repository"):
            raise validation("Give either repository or repositories.", "repositories", "invalid")
        if body.get("github_integration") is None:
            raise validation("Several repositories need a GitHub integration.", "github_integration", "required")
    integration = integer(body, "github_integration")
    if integration not in (None, PROJECT_INTEGRATION):
        raise does_not_exist("github_integration", str(integration))
    links = {
        "github_integration": integration,
        "github_user_integration": identifier(body, "github_user_integration"),
    }
    values |= {name: value for name, value in links.items() if name in body}
    asked = identifier(body, "channel")
    if asked is not None:
        raise does_not_exist("channel", asked)
    report = identifier(body, "signal_report")
    if report is not None:
        if origin != "signal_report":
            raise validation("A signal report needs origin_product signal_report.", "signal_report", "invalid")
        raise does_not_exist("signal_report", report)
    text(body, "signal_report_task_relationship", maximum=50)
    if "json_schema" in body:
        values["json_schema"] = mapping(body, "json_schema")
    if "ci_prompt" in body:
        values["ci_prompt"] = text(body, "ci_prompt", maximum=LONGEST_PROMPT)
    return values


def _check_hints(body: Mapping[str, object]) -> None:
    """Check the hints for a warm start. They have no effect: an agent is started within a moment."""
    text(body, "branch", maximum=255)
    _model(body)
    read_pending_message(body)
    boolean(body, "auto_publish")
    for name in ("sandbox_environment_id", "custom_image_id"):
        asked = identifier(body, name)
        if asked is not None:
            raise does_not_exist(name, asked)


def _model(body: Mapping[str, object]) -> dict[str, object]:
    adapter = choice(body, "runtime_adapter", tuple(PROVIDERS))
    model = text(body, "model", maximum=200, blank=False)
    effort = choice(body, "reasoning_effort", EFFORTS)
    if (adapter is None) != (model is None):
        missing = "model" if model is None else "runtime_adapter"
        raise validation("runtime_adapter and model are required together.", missing, "required")
    if effort is not None and model is None:
        raise validation("reasoning_effort needs a model.", "reasoning_effort", "invalid")
    wrong = None if adapter is None or model is None else model_refusal(adapter, model, effort)
    if wrong is not None:
        raise validation(wrong[1], wrong[0], "invalid")
    asked_mode = text(body, "initial_permission_mode", maximum=50)
    if asked_mode is not None:
        if adapter is None:
            raise validation("initial_permission_mode needs runtime_adapter.", "initial_permission_mode", "invalid")
        choice(body, "initial_permission_mode", PERMISSION_MODES[adapter])
    return {
        "runtime_adapter": adapter,
        "model": model,
        "reasoning_effort": effort,
        "initial_permission_mode": asked_mode,
    }


def _imported(body: Mapping[str, object]) -> list[str] | None:
    """The names of the imported servers. Nothing else of them is kept: addresses and headers may hold credentials."""
    servers = body.get("imported_mcp_servers")
    if servers is None:
        return None
    attr = "imported_mcp_servers"
    if not isinstance(servers, list) or len(servers) > MOST_IMPORTED_SERVERS:
        raise validation(f"Expected a list of at most {MOST_IMPORTED_SERVERS} servers.", attr, "invalid")
    if len(json.dumps(servers)) > IMPORTED_BYTES:
        raise validation("The servers take more than 32 KB.", attr, "invalid")
    names = []
    for server in servers:
        if not isinstance(server, dict):
            raise validation("Each server must be an object.", attr, "invalid")
        choice(server, "type", ("http", "sse"))
        name = text(server, "name", maximum=64, needed=True, blank=False) or ""
        text(server, "url", maximum=2000, needed=True, blank=False)
        if name.lower() == "posthog":
            raise validation("The name 'posthog' is reserved.", attr, "invalid")
        names.append(name)
    return names


def _relayed(body: Mapping[str, object]) -> list[str] | None:
    servers = body.get("relayed_mcp_servers")
    if servers is None:
        return None
    if not isinstance(servers, list) or not all(isinstance(server, dict) for server in servers):
        raise validation("Expected a list of objects.", "relayed_mcp_servers", "invalid")
    return [text(server, "name", maximum=64, needed=True, blank=False) or "" for server in servers]


def does_not_exist(attr: str, key: str) -> Exception:
    """The answer to an id of something that the workspace does not have."""
    return validation(f'Invalid pk "{key}" - object does not exist.', attr, "does_not_exist")


def _first_line(description: str) -> str:
    return description.strip().splitlines()[0][:255]


def valid_ids(body: Mapping[str, object], name: str, maximum: int) -> list[str]:
    """A required list of UUIDs."""

    def read(value: object) -> str:
        found = as_uuid(value)
        if found is None:
            raise validation("Must be a valid UUID.", name, "invalid")
        return found

    found = items(body, name, read, maximum=maximum)
    if found is None:
        raise validation("This field is required.", name, "required")
    return list(found)
