"""output_of: a command that is run to its end, bounded in time and in what is kept of its output."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.processes.child import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LARGEST_OUTPUT = 64 * 1024 * 1024


@dataclass(frozen=True)
class CommandOutput:
    """How a command ended and what it wrote. Its code is negative for a signal."""

    code: int
    output: bytes
    errors: bytes


async def output_of(
    command: Sequence[str],
    folder: Path | str | None,
    environment: Mapping[str, str],
    *,
    seconds: float,
    given: bytes = b"",
    merged: bool = False,
    limit: int = LARGEST_OUTPUT,
) -> CommandOutput:
    """Run a command, without a shell, with `given` as its input; `merged` puts its errors into its output.

    What it writes beyond `limit` bytes is dropped. It and its group are killed when it takes longer than `seconds`, and
    when the caller is cancelled. Raises `NotStarted` and `TimeoutError`.
    """
    output, errors = _Kept(limit), _Kept(limit)
    async with asyncio.timeout(seconds):
        child = await ChildProcess.start(
            command,
            folder,
            environment,
            stdin=subprocess.PIPE if given else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            on_output=output.add,
            on_errors=errors.add,
        )
        try:
            if child.stdin is not None:
                child.stdin.write(given)
                child.stdin.close()
            code = await child.wait()
        finally:
            if not child.exited.is_set():
                child.kill()
            child.close()
    return CommandOutput(code, bytes(output.data), bytes(errors.data))


class _Kept:
    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self._limit = limit

    def add(self, data: bytes) -> None:
        self.data += data[: self._limit - len(self.data)]
