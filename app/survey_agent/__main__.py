"""`burrow survey-agent`: speaks the Agent Client Protocol over standard input and output until the input ends."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from app.acp.messages import PeerBroken
from app.acp.peer import Peer
from app.survey_agent.agent import SurveyAgent
from app.survey_agent.options import ADAPTERS, EFFORTS, SessionOptions
from app.survey_agent.stdio import StandardInput, StandardOutput

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run until the client closes the input. Returns the exit code."""
    options = _parser().parse_args(argv)
    first = SessionOptions.first(options.adapter, options.model, options.effort)
    try:
        code = asyncio.run(_serve(first))
    except KeyboardInterrupt:
        code = 130
    sys.stderr.flush()
    # A thread may still write to a pipe that nobody reads, and Python would wait for it.
    os._exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="burrow survey-agent",
        description="An ACP agent without a model: it surveys a folder and writes a report. Speaks ACP over stdio.",
    )
    parser.add_argument("--adapter", choices=ADAPTERS, default=ADAPTERS[0], help="whose modes and models it offers")
    parser.add_argument("--model", help="the model of new sessions")
    parser.add_argument("--effort", choices=tuple(EFFORTS), help="the effort of new sessions")
    return parser


async def _serve(options: SessionOptions) -> int:
    agent = SurveyAgent(options)
    peer = Peer(StandardInput(), StandardOutput(), on_request=agent.request, on_notification=agent.notification)
    agent.peer = peer
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await peer.run()
    except PeerBroken as failure:
        sys.stderr.write(f"survey-agent: {failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
