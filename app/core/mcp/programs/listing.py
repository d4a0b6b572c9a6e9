"""Asking a program which MCP servers it knows, with the program's own command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from typing import TYPE_CHECKING

from app.core.redaction import redact_text
from app.marks import revealed_name
from app.processes.child import NO_CONSOLE

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
    try:
        process = await asyncio.create_subprocess_exec(
            str(command),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment(os.environ, command),
            start_new_session=os.name == "posix",
            creationflags=NO_CONSOLE,
        )
    except (OSError, ValueError) as failure:
        raise NotListed(f"It cannot be started: {getattr(failure, 'strerror', None) or failure}.") from None
    output = bytearray()
    try:
        async with asyncio.timeout(seconds):
            await _read(process, output)
            code = await process.wait()
    except TimeoutError:
        raise NotListed(f"It gave no answer for {seconds:.0f} seconds.") from None
    finally:
        await _end(process)
    lines = [line for line in _lines(bytes(output)) if line]
    if code != 0:
        last = f" {lines[-1]}" if lines else ""
        raise NotListed(f"It ended with code {code}.{last}")
    return lines


def environment(ours: Mapping[str, str], command: Path) -> dict[str, str]:
    """Our environment for the user's program, with the folder that it is in.

    Commands that Node.js runs find Node.js there, which the PATH of a window may lack.
    """
    variables = dict(ours)
    variables["PATH"] = os.pathsep.join(part for part in (variables.get("PATH", ""), str(command.parent)) if part)
    return variables


async def _read(process: asyncio.subprocess.Process, output: bytearray) -> None:
    assert process.stdout is not None
    while block := await process.stdout.read(OUTPUT_LIMIT):
        output += block[: OUTPUT_LIMIT - len(output)]


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        await process.wait()
    process._transport.close()  # type: ignore[attr-defined]


def _lines(output: bytes) -> list[str]:
    text = ESCAPES.sub("", output.decode("utf-8", "replace"))
    return [revealed_name(redact_text(" ".join(line.split())))[:LINE_LIMIT] for line in text.splitlines()]
