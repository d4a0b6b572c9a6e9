"""What a cloud run is started with, and what of it may be sent (docs/wire.md, "Starting a run")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.core.errors import Facts, Rejected
from app.core.posthog.types import Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.core.posthog.types import TaskRun

# By adapter, the default mode first. Without a mode the agent of a cloud run asks for no permission at all.
MODES: Mapping[str, tuple[str, ...]] = {
    "claude": ("plan", "default", "acceptEdits", "auto", "bypassPermissions"),
    "codex": ("auto", "plan", "read-only", "full-access"),
}
# The modes in which an agent asks for nothing. They are offered once that is switched on.
UNASKING = frozenset({"bypassPermissions", "full-access"})
BYPASS_SETTING = "runs.offer_bypass"
"""The setting that offers them; `True` or absent."""


class AgentModel(Value, frozen=True):
    """A model on offer. `adapter` is `claude` or `codex`.

    `efforts` are those that the model knows, from the lowest; None where the server does not say.
    """

    adapter: str
    model: str
    name: str = ""
    efforts: tuple[str, ...] | None = None

    @property
    def title(self) -> str:
        return self.name or self.model


class RunOptions(Value, frozen=True):
    """What to start a run with. An empty text means: choose as usual.

    - `adapter` and `model` go together. `effort` is not sent to a model that does not know it. `mode` is a permission
      mode of the adapter.
    - `branch` is the one to start from. `resume_from` is the id of an ended run to go on from, and `message` what to
      say first.
    - `authorship` of pull requests: `user` or `bot`; empty: `user` if the person has connected GitHub.
    - `environment` and `image` are the ids of a sandbox environment and of an image.
    - `publish`: whether the agent opens a pull request by itself; None: as the server does.
    """

    adapter: str = ""
    model: str = ""
    effort: str = ""
    mode: str = ""
    branch: str = ""
    resume_from: str = ""
    message: str = ""
    authorship: str = ""
    environment: str = ""
    image: str = ""
    publish: bool | None = None


# The field of a draft that has the options of its run. It is no text that somebody wrote.
FIELD = "_run"


def encode(options: RunOptions) -> str:
    """Options as a text to store."""
    return msgspec.json.encode(options).decode()


def decode(text: str) -> RunOptions | None:
    """Read what `encode` wrote; None for anything else."""
    try:
        return msgspec.json.decode(text, type=RunOptions)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None


def settled(options: RunOptions, models: Sequence[AgentModel]) -> RunOptions:
    """`options` with a model, its adapter, and a permission mode that is sent in any case.

    A model that the server does not list is kept: the list may be incomplete or not there. Without a model no mode can
    be sent, so a run without one is refused: raises `Rejected` (attr `model`).
    """
    chosen = _model(options, models)
    if chosen is None:
        raise Rejected(
            "The server does not say which models there are, and without a model the agent would ask for nothing.",
            Facts(attr="model"),
            action="Name the model to run with.",
        )
    known = next((each for each in models if (each.adapter, each.model) == (chosen.adapter, chosen.model)), None)
    efforts = known.efforts if known is not None else None
    modes = MODES[chosen.adapter]
    return msgspec.structs.replace(
        options,
        adapter=chosen.adapter,
        model=chosen.model,
        effort="" if efforts is not None and options.effort not in efforts else options.effort,
        mode=options.mode if options.mode in modes else modes[0],
    )


def going_on(run: TaskRun, message: str = "") -> RunOptions:
    """The options of a run that goes on from `run`, which has ended, with a message (docs/wire.md, "Starting a run").

    It starts from the branch that was pushed last, with the same agent and permission mode.
    """
    output, state = run.output or {}, run.state or {}
    branches = (output.get("head_branch"), run.branch, state.get("pr_base_branch"))
    mode = state.get("initial_permission_mode")
    return RunOptions(
        adapter=run.runtime_adapter or "",
        model=run.model or "",
        mode=mode if isinstance(mode, str) else "",
        branch=next((each for each in branches if isinstance(each, str) and each), ""),
        resume_from=run.id,
        message=message,
    )


def asking(options: RunOptions, *, bypass: bool) -> RunOptions:
    """`options` without a mode in which the agent asks for nothing, unless `bypass` says that those are offered."""
    return options if bypass or options.mode not in UNASKING else msgspec.structs.replace(options, mode="")


def body_of(options: RunOptions, *, source: Mapping[str, str], authorship: str) -> dict[str, object]:
    """The body that starts or makes a run with `settled` options; `source` is where the task came from."""
    body: dict[str, object] = {
        "mode": "interactive",
        "environment": "cloud",
        "runtime_adapter": options.adapter,
        "model": options.model,
        "initial_permission_mode": options.mode,
        **source,
    }
    optional = {
        "reasoning_effort": options.effort,
        "branch": options.branch,
        "resume_from_run_id": options.resume_from,
        "sandbox_environment_id": options.environment,
        "custom_image_id": options.image,
        "pr_authorship_mode": options.authorship or authorship,
    }
    body |= {name: text for name, text in optional.items() if text}
    if options.publish is not None:
        body["auto_publish"] = options.publish
    return body


def adapter_of(model: str) -> str:
    """The adapter of a model that no list names, by the family its name begins with; empty if that is none."""
    name = model.lower().rpartition("/")[2]
    if name.startswith("claude"):
        return "claude"
    return "codex" if name.startswith(("gpt", "codex", "o1", "o3", "o4")) else ""


def _model(options: RunOptions, models: Sequence[AgentModel]) -> AgentModel | None:
    if options.model:
        listed = [each for each in models if each.model == options.model]
        for each in listed:
            if options.adapter in {"", each.adapter} and each.adapter in MODES:
                return each
        adapter = options.adapter or adapter_of(options.model)
        if adapter in MODES:
            return AgentModel(adapter, options.model)
        raise Rejected(
            f"It is not known which agent runs {options.model}.",
            Facts(attr="model"),
            action="Choose one of the models that the server lists, or name the agent too: claude or codex.",
        )
    wanted = [options.adapter] if options.adapter in MODES else list(MODES)
    return next((each for adapter in wanted for each in models if each.adapter == adapter and each.model), None)
