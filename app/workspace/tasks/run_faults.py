"""What the fault switchboard makes go wrong with runs (docs/wire.md, "Starting a run" and "Run stream").

Kept in memory; `app.workspace.faults.runs` sets it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from app.workspace.runtime.clock import iso
from app.workspace.web.errors import ApiError

LIMITS = {
    "usage_limit_exceeded": "You've reached your PostHog Desktop usage limit.",
    "billing_limit": "Your organization has reached its billing limit.",
    "signal_report_task_cap": "This report has started as many tasks as it may.",
}
ACCESS_UNVERIFIED = "access_unverified"
FORBIDDEN = "code_access_required"
GITHUB = "github_authorization_required"
START_REFUSALS = (*LIMITS, ACCESS_UNVERIFIED, FORBIDDEN, GITHUB)
SANDBOX_REFUSALS = ("sandbox_not_ready", "unreachable", "timed_out", "refused")
STREAM_REFUSALS = ("admission", "Stream not available", "Backlog busy", "Backlog unavailable")
LIMIT_TYPES = ("burst", "sustained")


class LimitReached(ApiError):
    """A limit of the plan; its body has `error` where others have `detail`."""

    def body(self) -> dict[str, object]:
        return {"type": self.type, "code": self.code, "error": self.detail, **self.more}


@dataclass
class StartRefusal:
    """The next `times` starts are refused as `kind`. `reset_seconds` from then, `limit_type` one of `LIMIT_TYPES`."""

    kind: str
    times: int = 1
    limit_type: str | None = "burst"
    reset_seconds: float | None = 3600.0
    is_pro: bool = False

    def error(self, now: float) -> ApiError:
        if self.kind == ACCESS_UNVERIFIED:
            detail = "Your plan could not be verified. Try again in a moment."
            return ApiError(503, "server_error", ACCESS_UNVERIFIED, detail, headers={"Retry-After": "5"})
        if self.kind == FORBIDDEN:
            return ApiError(403, "authentication_error", FORBIDDEN, "You do not have access to cloud runs.")
        if self.kind == GITHUB:
            return github_needed()
        more: dict[str, object] = {"is_pro": self.is_pro}
        if self.limit_type is not None:
            more["limit_type"] = self.limit_type
        if self.reset_seconds is not None:
            more["reset_at"] = iso(now + self.reset_seconds)
        return LimitReached(429, "rate_limited", self.kind, LIMITS[self.kind], more=more)


@dataclass
class CountedFault:
    """The next `times` requests fail as `kind`."""

    kind: str
    times: int = 1


@dataclass
class RunFaults:
    """The faults in force; one for each running workspace. Seconds are those of a stream's timers."""

    start: StartRefusal | None = None
    sandbox: CountedFault | None = None
    stream: CountedFault | None = None
    stream_elsewhere: bool = False
    """Whether streams are read at another address, with a token of their own."""
    duplicate_events: bool = False
    """Whether streams send each event twice."""
    rotation_seconds: float = 900.0
    keepalive_seconds: float = 20.0
    clients: set[tuple[str, int]] = field(default_factory=set)
    """The addresses of open streams."""

    def refuse_start(self, now: float) -> None:
        """Raises the refusal that is in force, and counts it."""
        found = self.start
        if found is None:
            return
        found.times -= 1
        if found.times <= 0:
            self.start = None
        raise found.error(now)

    def take_sandbox(self) -> str | None:
        self.sandbox, kind = _counted(self.sandbox)
        return kind

    def take_stream(self) -> str | None:
        self.stream, kind = _counted(self.stream)
        return kind

    def reset(self) -> None:
        self.start = self.sandbox = self.stream = None
        self.stream_elsewhere = self.duplicate_events = False
        self.rotation_seconds, self.keepalive_seconds = 900.0, 20.0


def github_needed() -> ApiError:
    """The person has to connect their account of the code host first."""
    detail = "Connect your GitHub account to open pull requests in your own name."
    return ApiError(400, "validation_error", GITHUB, detail, "pr_authorship_mode", more={"error": detail})


def sandbox_not_ready() -> ApiError:
    return ApiError(400, "runtime_unavailable", "sandbox_not_ready", "No active sandbox for this task run")


def sandbox_error(kind: str) -> ApiError:
    """The answer of `command/` to one of `SANDBOX_REFUSALS`."""
    if kind == "sandbox_not_ready":
        return sandbox_not_ready()
    if kind == "timed_out":
        return ApiError(504, "server_error", "sandbox_timed_out", "The agent did not answer in time.")
    # `refused` stands for a 401 of the sandbox, which must never look like one about the person's token.
    words = "The agent could not be reached." if kind == "unreachable" else "The agent refused the connection."
    return ApiError(502, "server_error", "sandbox_unreachable", words)


def _counted(fault: CountedFault | None) -> tuple[CountedFault | None, str | None]:
    if fault is None:
        return None, None
    fault.times -= 1
    return (None if fault.times <= 0 else fault), fault.kind
