"""The faults of runs: their starts, their streams, their agents (docs/wire.md, "Starting a run" and "Run stream")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.lab.fault import Fault
from app.ui.translation import marked

if TYPE_CHECKING:
    from app.core.lab import Lab

ROTATION_SECONDS = 10.0
REFUSED_STREAMS = 3

RUN_FAULTS: tuple[Fault, ...] = (
    Fault(
        "run-cut",
        marked("Lab", "Cut the streams"),
        marked(
            "Lab",
            "Every open stream loses its connection. Burrow connects again within a second. Nothing is lost or shown"
            " twice.",
        ),
        lambda lab: lab.runs(cut_streams=True),
    ),
    Fault(
        "run-token",
        marked("Lab", "Cut the streams and kill the token"),
        marked("Lab", "The stream is refused when it is opened again. Burrow renews the token once, and goes on."),
        lambda lab: _with_dead_token(lab),
    ),
    Fault(
        "run-rotate",
        marked("Lab", "End streams after ten seconds"),
        marked(
            "Lab",
            "Until you clear the faults, each stream ends as PostHog's do after 15 minutes. The run goes on, and you"
            " see nothing of it.",
        ),
        lambda lab: lab.runs(rotation_seconds=ROTATION_SECONDS, cut_streams=True),
    ),
    Fault(
        "run-admission",
        marked("Lab", "Refuse three streams"),
        marked(
            "Lab",
            "The streams are cut, and the next three get a 503 that asks to wait. A line above the transcript counts"
            " the seconds.",
        ),
        lambda lab: lab.runs(stream="admission", times=REFUSED_STREAMS, cut_streams=True),
    ),
    Fault(
        "run-backlog",
        marked("Lab", "Streams without their backlog"),
        marked("Lab", "The streams are cut, and the next three say “Backlog unavailable” only. Burrow tries again."),
        lambda lab: lab.runs(stream="Backlog unavailable", times=REFUSED_STREAMS, cut_streams=True),
    ),
    Fault(
        "run-twice",
        marked("Lab", "Send each event twice"),
        marked("Lab", "Until you clear the faults, streams repeat everything. The transcript shows it once."),
        lambda lab: lab.runs(duplicate_events=True, cut_streams=True),
    ),
    Fault(
        "run-elsewhere",
        marked("Lab", "Streams at another address"),
        marked(
            "Lab",
            "Until you clear the faults, streams are read with a token of their own, as at PostHog. You see nothing of"
            " it.",
        ),
        lambda lab: lab.runs(stream_elsewhere=True, cut_streams=True),
    ),
    Fault(
        "run-stream-token",
        marked("Lab", "Kill the streams' own tokens"),
        marked("Lab", "Streams at the other address are cut and refused. Burrow asks for a new token of the stream."),
        lambda lab: lab.runs(stream_elsewhere=True, kill_stream_tokens=True, cut_streams=True),
    ),
    Fault(
        "run-crash",
        marked("Lab", "Crash the agents"),
        marked("Lab", "The runs that are under way fail, and say how. A further message goes on in a new run."),
        lambda lab: lab.runs(kill_agents=True),
    ),
    Fault(
        "run-not-ready",
        marked("Lab", "No agent for the next message"),
        marked("Lab", "The next message or answer to a run is refused. It stays, and can be sent again."),
        lambda lab: lab.runs(sandbox="sandbox_not_ready"),
    ),
    Fault(
        "run-unreachable",
        marked("Lab", "The agent cannot be reached"),
        marked(
            "Lab",
            "The next message or answer gets a 502: it may have arrived. Burrow looks in the log before it is sent"
            " again.",
        ),
        lambda lab: lab.runs(sandbox="unreachable"),
    ),
    Fault(
        "run-limit",
        marked("Lab", "Usage limit reached"),
        marked("Lab", "The next run is not started. Burrow says when the limit ends, in an hour."),
        lambda lab: lab.runs(refuse_start="usage_limit_exceeded", limit_type="sustained", reset_seconds=3600),
    ),
    Fault(
        "run-github",
        marked("Lab", "GitHub needed"),
        marked("Lab", "The next run is not started before GitHub is connected, or goes without your name."),
        lambda lab: lab.runs(refuse_start="github_authorization_required"),
    ),
    Fault(
        "run-access",
        marked("Lab", "Plan cannot be checked"),
        marked("Lab", "The next start gets a 503. Nothing was started, and it can be tried again."),
        lambda lab: lab.runs(refuse_start="access_unverified"),
    ),
)


async def _with_dead_token(lab: Lab) -> None:
    await lab.kill_access_token()
    await lab.runs(cut_streams=True)
