"""Terminals: the commands that an agent has its client run (`terminal/*`), within the working folder.

https://agentclientprotocol.com/protocol/terminals
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from app.acp.command import CommandProcess
from app.acp.messages import INVALID_PARAMS, RpcError
from app.processes.child import NotStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.core.runs.local.folder import WorkingFolder

OUTPUT_BYTES = 1024 * 1024
MOST_TERMINALS = 64


class Terminals:
    """The terminals of one run. `end` ends those that are left.

    `changed` is called with a terminal's id when it put something out, and with True when it has ended.
    """

    def __init__(self, folder: WorkingFolder, environment: Mapping[str, str]) -> None:
        self.changed: Callable[[str, bool], None] = lambda _name, _over: None
        self._folder = folder
        self._environment = environment
        self._open: dict[str, _Terminal] = {}
        self._count = self._starting = 0

    async def create(self, params: Mapping[str, object]) -> dict[str, object]:
        """`terminal/create`. Without `args`, a command of several words is one for the shell, as agents expect."""
        command, folder, variables = command_of(params), params.get("cwd"), _variables(params.get("env"))
        path = self._folder.path if folder is None else await asyncio.to_thread(self._folder.resolve, folder)
        if len(self._open) + self._starting >= MOST_TERMINALS:
            raise RpcError(INVALID_PARAMS, f"There are {MOST_TERMINALS} terminals already; release some first")
        limit = params.get("outputByteLimit")
        most = min(limit, OUTPUT_BYTES) if isinstance(limit, int) and not isinstance(limit, bool) else OUTPUT_BYTES
        self._count += 1
        name = f"terminal-{self._count}"
        terminal = _Terminal(max(most, 0), lambda: self.changed(name, False))
        self._starting += 1
        try:
            terminal.process = await CommandProcess.start(
                command, path, {**self._environment, **variables}, terminal.take
            )
        except NotStarted as failure:
            raise RpcError(INVALID_PARAMS, str(failure)) from None
        finally:
            self._starting -= 1
        self._open[name] = terminal
        terminal.waiting = asyncio.create_task(self._until_over(name, terminal), name=name)
        return {"terminalId": name}

    async def output(self, params: Mapping[str, object]) -> dict[str, object]:
        """`terminal/output`."""
        terminal = self._terminal(params)
        code = terminal.process.exit_code
        answer: dict[str, object] = {"output": terminal.text(), "truncated": terminal.truncated}
        return answer if code is None else {**answer, "exitStatus": _status(code)}

    async def wait_for_exit(self, params: Mapping[str, object]) -> dict[str, object]:
        """`terminal/wait_for_exit`."""
        return _status(await self._terminal(params).process.wait())

    async def kill(self, params: Mapping[str, object]) -> None:
        """`terminal/kill`: its output can still be read."""
        await self._terminal(params).process.kill()

    async def release(self, params: Mapping[str, object]) -> None:
        """`terminal/release`."""
        terminal = self._terminal(params)
        await terminal.end()
        self._open.pop(str(params["terminalId"]), None)

    def shown(self, terminal_id: object) -> str | None:
        """The output of a terminal by now, for a tool call that embeds it; None for one that is not known."""
        terminal = self._open.get(terminal_id) if isinstance(terminal_id, str) else None
        return None if terminal is None else terminal.text()

    async def end(self) -> None:
        """End all that are left."""
        await asyncio.gather(*(each.end() for each in self._open.values()))
        self._open.clear()

    async def _until_over(self, name: str, terminal: _Terminal) -> None:
        await terminal.process.wait()
        self.changed(name, True)

    def _terminal(self, params: Mapping[str, object]) -> _Terminal:
        name = params.get("terminalId")
        if not isinstance(name, str) or name not in self._open:
            raise RpcError(INVALID_PARAMS, f"There is no terminal {name}")
        return self._open[name]


class _Terminal:
    """What a command put out: the end of it, as far as it fits."""

    process: CommandProcess
    waiting: asyncio.Task[None]

    def __init__(self, most: int, changed: Callable[[], None]) -> None:
        self._most = most
        self._changed = changed
        self._data = bytearray()
        self.truncated = False

    def take(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > self._most:
            self.truncated = True
            del self._data[: len(self._data) - self._most]
        self._changed()

    async def end(self) -> None:
        """End the command, and tell of its end while its output can still be read."""
        await self.process.end()
        await asyncio.wait((self.waiting,))

    def text(self) -> str:
        data = bytes(self._data)
        if self.truncated:
            # Not in the middle of a character.
            data = data.lstrip(bytes(range(0x80, 0xC0)))
        return data.decode("utf-8", "replace")


def command_of(params: Mapping[str, object]) -> tuple[str, ...]:
    """The words of the command that `terminal/create` names."""
    command, arguments = params.get("command"), params.get("args")
    if not isinstance(command, str) or not command.strip():
        raise RpcError(INVALID_PARAMS, "There is no command")
    words = [each for each in arguments if isinstance(each, str)] if isinstance(arguments, list) else []
    if not words and any(each in command for each in " \t\n;|&<>$`"):
        return ("/bin/sh", "-c", command)
    return (command, *words)


def _variables(given: object) -> dict[str, str]:
    pairs = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    return {str(each.get("name")): str(each.get("value")) for each in pairs if each.get("name")}


def _status(code: int) -> dict[str, object]:
    if code >= 0:
        return {"exitCode": code, "signal": None}
    try:
        return {"exitCode": None, "signal": signal.Signals(-code).name}
    except ValueError:
        return {"exitCode": None, "signal": str(-code)}
