"""A server on its pipes: whatever happens to it, a tool with side effects is never run twice."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from app.core.auth.http.target import CredentialAtStake
from app.core.errors import BurrowError, OutcomeUnknown, ProtocolTrouble, ServerTrouble
from app.core.mcp.protocol import process, stdio_transport
from app.core.mcp.protocol.calls import CallCancelled, RunningCall
from app.core.mcp.protocol.connection import Connection, Endpoint
from app.core.mcp.protocol.exchange import Exchange, Notification
from app.core.mcp.protocol.stdio_transport import StdioTransport
from tests.until import until

SERVER = Path(__file__).with_name("_stdio_server.py")
MODERN_SERVER = """
from mcp.server import MCPServer
server = MCPServer("modern")
@server.tool()
def add(first: int, second: int) -> int:
    return first + second
server.run("stdio")
"""


class Pipes:
    """A connection to the scripted server, and what that server noted."""

    def __init__(self, folder: Path) -> None:
        self.record = folder / "record"
        self.record.touch()
        self.exchanges: list[Exchange] = []
        transport = StdioTransport((sys.executable, str(SERVER), str(self.record)))
        self.connection = Connection(
            Endpoint("pipes", transport, CredentialAtStake.UNMANAGED), lambda _endpoint, item: self._heard(item)
        )

    def _heard(self, item: Exchange | Notification) -> None:
        if isinstance(item, Exchange):
            self.exchanges.append(item)

    async def run(self, do: str = "", *, repeatable: bool = False, **more: Any) -> Any:
        return await self.connection.call("run", {"do": do, **more}, repeatable=repeatable, on_progress=silent)

    def noted(self, what: str) -> list[str]:
        return [line.partition(" ")[2] for line in self.record.read_text().splitlines() if line.startswith(what)]


@asynccontextmanager
async def open_pipes(folder: Path) -> AsyncIterator[Pipes]:
    made = Pipes(folder)
    try:
        yield made
    finally:
        await made.connection.close()


async def silent(progress: float, total: float | None, message: str | None) -> None:
    pass


@asynccontextmanager
async def connected(*command: str, **options: Any) -> AsyncIterator[Connection]:
    endpoint = Endpoint("pipes", StdioTransport(command, **options), CredentialAtStake.UNMANAGED)
    connection = Connection(endpoint, lambda _endpoint, _item: None)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("repeatable", [False, True])
async def test_an_error_that_answers_a_call_never_makes_it_run_again(tmp_path: Path, repeatable: bool) -> None:
    async with open_pipes(tmp_path) as pipes:
        with pytest.raises(ProtocolTrouble, match="It broke"):
            await pipes.run("refuse", repeatable=repeatable)
        assert len(pipes.noted("ran")) == 1


async def test_a_call_that_the_process_died_of_has_an_unknown_outcome_and_is_not_sent_again(tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        with pytest.raises(OutcomeUnknown, match=r"ended with code 3. Its last output: fatal: no more disk"):
            await pipes.run("die")
        assert len(pipes.noted("ran")) == 1


async def test_a_repeatable_call_that_the_process_died_of_is_made_once_more_by_another(tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        await pipes.run("die once", repeatable=True)
        assert len(set(pipes.noted("ran"))) == 2


async def test_a_process_that_always_dies_is_not_started_without_end(tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        with pytest.raises(ServerTrouble, match="ended with code 3"):
            await pipes.run("die", repeatable=True)
        assert len(pipes.noted("ran")) == 2


async def test_a_call_after_the_process_died_goes_to_another_and_runs_once(tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        await pipes.run()
        process = int(pipes.noted("ran")[0])
        os.kill(process, 9)
        await until(lambda: not alive(process))
        await pipes.run()
        first, second = pipes.noted("ran")
        assert first != second


async def test_a_process_that_closes_its_output_and_lives_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        began = monotonic()
        with pytest.raises(OutcomeUnknown, match="closed its output"):
            await pipes.run("close the output")
        assert monotonic() - began < 20
        assert len(pipes.noted("ran")) == 1


async def test_what_a_server_prints_beside_its_messages_is_passed_over(tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        assert json.loads((await pipes.run("be noisy"))["content"][0]["text"]) == {"do": "be noisy"}


async def test_an_answer_whose_id_came_back_as_text_counts(tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        await pipes.run("answer by text")
        assert len(pipes.noted("ran")) == 1


async def test_an_answer_without_end_is_left_and_its_call_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_pipes(tmp_path) as pipes:
        monkeypatch.setattr(stdio_transport, "LINE_LIMIT", 1024 * 1024)
        with pytest.raises(ProtocolTrouble, match="larger than 1 MB"):
            await pipes.run("flood", size=2 * 1024 * 1024)
        assert len(pipes.noted("ran")) == 1
        assert "flood" not in (await pipes.run())["content"][0]["text"]


async def test_a_large_answer_keeps_its_size_and_leaves_the_loop_free(tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        result = await pipes.run("flood", size=8 * 1024 * 1024)
        assert len(result["content"][0]["text"]) == 8 * 1024 * 1024


async def test_numbers_go_out_as_they_were_typed(tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        exact = Decimal("12345678901234567890.123456789")
        result = await pipes.run(amount=exact)
        # The server reads and writes doubles; what left is in the record of its input.
        assert json.loads(result["content"][0]["text"])["amount"] == float(exact)
        assert pipes.exchanges[-1].placeholders is not None


async def test_a_cancelled_call_is_told_to_the_process(tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        call = RunningCall(
            lambda report: pipes.connection.call("run", {"do": "hang"}, repeatable=False, on_progress=report)
        )
        await until(lambda: pipes.noted("ran"), 20)
        call.cancel()
        with pytest.raises(CallCancelled):
            await call.result()
        await until(lambda: "cancelled" in pipes.record.read_text())


async def test_leaving_ends_the_process_and_what_it_started(tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        await pipes.run("leave a child")
        child, process = int(pipes.noted("child")[0]), int(pipes.noted("ran")[0])
        began = monotonic()
        await pipes.connection.close()
        assert monotonic() - began < 5
        await until(lambda: not alive(child) and not alive(process))


async def test_a_process_gets_the_harmless_part_of_the_environment_and_what_was_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_OF_ANOTHER_PROGRAM", "1")
    (tmp_path / "record").touch()
    command = (sys.executable, str(SERVER), str(tmp_path / "record"))
    async with connected(*command, environment={"API_KEY": "given"}, folder=tmp_path) as connection:
        result = await connection.call("run", {"do": "tell the environment"}, repeatable=False, on_progress=silent)
    environment = json.loads(result["content"][0]["text"])
    assert environment["API_KEY"] == "given"
    assert "SECRET_OF_ANOTHER_PROGRAM" not in environment


@pytest.mark.parametrize("command", [("/no/such/command", "-x"), ()])
async def test_a_command_that_cannot_be_started_is_named(command: tuple[str, ...]) -> None:
    async with connected(*command) as connection:
        with pytest.raises(ServerTrouble, match="cannot be started: No such file" if command else "has no command"):
            await connection.tools()


async def test_a_process_that_ends_at_once_says_why() -> None:
    async with connected(sys.executable, "-c", "import sys; sys.exit('No API key was given.')") as connection:
        with pytest.raises(BurrowError, match="No API key was given"):
            await connection.tools()


async def test_a_process_that_ends_at_any_first_message_but_initialize_is_started_again_for_it(tmp_path: Path) -> None:
    strict = SERVER.read_text().replace(
        'case _ if "id" in message:', 'case _ if "id" in message:\n            os._exit(1)'
    )
    (tmp_path / "strict.py").write_text(strict)
    async with connected(sys.executable, str(tmp_path / "strict.py"), str(tmp_path / "record")) as connection:
        assert [tool.name for tool in await connection.tools()] == ["run"]
        assert connection.protocol == "2025-11-25"


async def test_the_sdks_own_server_is_understood_in_the_modern_era() -> None:
    async with connected(sys.executable, "-c", MODERN_SERVER) as connection:
        assert [tool.name for tool in await connection.tools()] == ["add"]
        result = await connection.call("add", {"first": 2, "second": 3}, repeatable=False, on_progress=silent)
        assert result["structuredContent"] == {"result": 5}
        assert connection.protocol == "2026-07-28"


async def test_calls_at_once_share_one_process(tmp_path: Path) -> None:
    async with open_pipes(tmp_path) as pipes:
        await asyncio.gather(*(pipes.run() for _ in range(20)))
        assert len(set(pipes.noted("ran"))) == 1


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_server_inherits_the_variables_that_the_sdk_considers_safe() -> None:
    from mcp.client.stdio import DEFAULT_INHERITED_ENV_VARS

    assert set(process.INHERITED) == set(DEFAULT_INHERITED_ENV_VARS)


async def test_a_folder_that_is_not_there_is_named_and_not_the_command(tmp_path: Path) -> None:
    with pytest.raises(ServerTrouble, match=f"cannot be started in {tmp_path / 'gone'}") as raised:
        await process.start_process((sys.executable,), tmp_path / "gone", {})
    assert raised.value.advice == "Check the folder."


async def test_a_line_of_standard_error_that_never_ends_takes_no_memory() -> None:
    endless = "import sys; sys.stderr.write('x' * 3_000_000); sys.stderr.flush(); sys.exit(4)"
    server = await process.start_process((sys.executable, "-c", endless), None, {})
    reading = asyncio.create_task(server.read_stderr())
    words = await server.how_it_ended()
    assert "code 4" in words
    assert len(words) < 1_000
    await reading
    await server.end()


DEAF = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""
OWNER = """
import asyncio, sys, time
from app.core.mcp.protocol.process import start_process
async def main():
    server = await start_process((sys.executable, "-c", sys.argv[1]), None, {})
    print(server.child.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.skipif(os.name != "posix", reason="process groups of POSIX")
async def test_a_server_that_notices_nothing_ends_with_a_process_that_is_killed() -> None:
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, DEAF, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout is not None
    server = int(await owner.stdout.readline())
    await until(lambda: len(group_of(server)) == 2)
    members = group_of(server)
    owner.kill()
    await owner.communicate()
    await until(lambda: not any(map(alive, members)))


def group_of(group: int) -> list[int]:
    """The processes of a group."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):
                if os.getpgid(int(place.name)) == group:
                    found.append(int(place.name))
    return found
