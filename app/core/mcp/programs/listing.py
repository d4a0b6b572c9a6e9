"""Asking a program which MCP servers it knows, with the program's own command."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from app.core.redaction import redact_text
from app.marks import revealed_name
from app.processes.child import NotStarted
from app.processes.output import output_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

OUTPUT_LIMIT = 256 * 1024
LINE_LIMIT = 300
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


class NotListed(Exception):
    """The command did not answer; the message says why, as a sentence."""


async def listed_servers(command: Path, arguments: Sequence[str], seconds: float) -> list[str]:
    """The lines that the command writes, safe to show. It and its children are ended at the deadline.

    Raises `NotListed`.
    """
    words = (str(command), *arguments)
    try:
        ended = await output_of(
            words, None, environment(os.environ, command), seconds=seconds, merged=True, limit=OUTPUT_LIMIT
        )
    except NotStarted as failure:
        raise NotListed(f"It cannot be started: {failure.reason}.") from None
    except TimeoutError:
        raise NotListed(f"It gave no answer for {seconds:.0f} seconds.") from None
    lines = [line for line in _lines(ended.output) if line]
    if ended.code != 0:
        last = f" {lines[-1]}" if lines else ""
        raise NotListed(f"It ended with code {ended.code}.{last}")
    return lines


def environment(ours: Mapping[str, str], command: Path) -> dict[str, str]:
    """Our environment for the user's program, with the folder that it is in.

    Commands that Node.js runs find Node.js there, which the PATH of a window may lack.
    """
    variables = dict(ours)
    variables["PATH"] = os.pathsep.join(part for part in (variables.get("PATH", ""), str(command.parent)) if part)
    return variables


def _lines(output: bytes) -> list[str]:
    text = ESCAPES.sub("", output.decode("utf-8", "replace"))
    return [revealed_name(redact_text(" ".join(line.split())))[:LINE_LIMIT] for line in text.splitlines()]
