"""OpenCode, as released, carries out runs with a scripted model on loopback, so that no account is needed.

It starts, asks for a command and runs it, is stopped while its model answers nothing, goes on with its session after a
restart, and the log makes the same transcript as what was seen live.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from app.core.runs.items import Item
from app.core.runs.local.agents import LocalAgent
from app.core.runs.local.folder import WorkingFolder
from app.core.runs.local.record import LocalRecord
from app.core.runs.local.run import LocalRun
from app.core.runs.local.status import RunPhase
from app.core.runs.log_entries import LogEntry
from app.core.runs.transcript import Transcript
from tests.proof._peers import AGENTS, install
from tests.proof.conformance import say
from tests.until import until

PACKAGE = "opencode-linux-x64"
START_SECONDS, TURN_SECONDS = 90.0, 60.0
COMMAND = {"command": "echo made > made.txt", "description": "Make a file"}


class Model:
    """A model that runs one command when it is asked to make, hangs when it is asked to hang, and counts otherwise."""

    def __init__(self) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self.hangs = threading.Event()
        self.goes_on = threading.Event()

    def answer(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        messages = asked["messages"]
        tools = {each["function"]["name"] for each in asked.get("tools", ())}
        last = messages[-1]
        words = json.dumps(last["content"]) if last["role"] == "user" else ""
        if not tools:
            yield from self._say("A title")
            return
        self.requests.append(messages)
        if "make" in words:
            call = {"name": "bash", "arguments": json.dumps(COMMAND)}
            yield self._chunk({"role": "assistant", "content": "I run it. "})
            yield self._chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": call}]})
            yield self._chunk({}, "tool_calls")
            return
        if "hang" in words:
            self.hangs.set()
            self.goes_on.wait(TURN_SECONDS)
        yield from self._say(f"I see {len(messages)} messages.")

    def _say(self, text: str) -> Iterator[dict[str, Any]]:
        yield self._chunk({"role": "assistant", "content": text})
        yield self._chunk({}, "stop")

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


@contextmanager
def served(model: Model) -> Iterator[str]:
    """The model at an address, in the form of OpenAI's chat completions."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            try:
                for chunk in model.answer(asked):
                    self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
                self.wfile.write(b"data: [DONE]\n\n")
            except OSError:
                # The agent gave up.
                return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        model.goes_on.set()
        server.shutdown()
        server.server_close()


def configured(home: Path, address: str) -> dict[str, str]:
    """The environment of an OpenCode that knows this model only, and asks before commands."""
    options = {"baseURL": address, "apiKey": "none"}
    provider = {"npm": "@ai-sdk/openai-compatible", "options": options, "models": {"m": {"name": "M"}}}
    config = {"permission": {"bash": "ask"}, "model": "local/m", "provider": {"local": provider}}
    (home / "opencode").mkdir(parents=True)
    (home / "opencode" / "opencode.json").write_text(json.dumps(config))
    folders = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"), str(home))
    return {**os.environ, **folders}


def items_of(entries: Sequence[LogEntry]) -> list[Item]:
    transcript = Transcript()
    transcript.apply(entries)
    items = [transcript.item(index) for index in range(len(transcript))]
    transcript.close()
    return items


async def turn(run: LocalRun, text: str) -> None:
    run.say(text)
    await until(lambda: run.status.phase is RunPhase.WORKING, TURN_SECONDS)


async def first_start(run: LocalRun, model: Model) -> None:
    await turn(run, "make a file")
    await until(lambda: run.questions, TURN_SECONDS)
    run.answer(run.questions[0], "once")
    await asyncio.wait_for(run.idle(), TURN_SECONDS)
    made = run.folder.path / "made.txt"
    assert made.read_text() == "made\n"
    say("asked for a command, and ran it when that was allowed")
    await turn(run, "hang")
    await until(model.hangs.is_set, TURN_SECONDS)
    await run.stop_turn()
    assert run.status.phase is RunPhase.READY, run.status
    say("stopped while its model answered nothing")


async def prove() -> int:
    """Carry the runs out; an assertion fails where something is wrong. Returns the exit code."""
    peers = await asyncio.to_thread(install, AGENTS)
    say(f"{PACKAGE} {peers.version(PACKAGE)}")
    agent = LocalAgent("opencode", "OpenCode", (str(peers.modules / PACKAGE / "bin" / "opencode"), "acp"))
    model = Model()
    seen: list[LogEntry] = []
    session = ""
    with tempfile.TemporaryDirectory() as name, served(model) as address:
        folder = Path(name)
        (folder / "work").mkdir()
        environment = configured(folder / "home", address)
        for start in (first_start, None):
            record = LocalRecord(id="proof", agent=agent, folder=str(folder / "work"), session=session)
            run = LocalRun(folder / "data", record, WorkingFolder(folder / "work"), environment=environment)
            run.log.added.subscribe(seen.extend)
            try:
                await asyncio.wait_for(run.start(), START_SECONDS)
                assert run.status.phase is RunPhase.READY, run.status
                if start is not None:
                    await start(run, model)
                else:
                    await turn(run, "what next")
                    await asyncio.wait_for(run.idle(), TURN_SECONDS)
            finally:
                await run.close()
            session = run.record.session
        assert "make a file" in json.dumps(model.requests[-1]), "the session was forgotten"
        say("went on with its session after a restart")
        live, stored = items_of(seen), items_of(tuple(run.log.stored()))
        assert [(type(each), each.key) for each in live] == [(type(each), each.key) for each in stored]
        assert [getattr(each, "text", "") for each in live] == [getattr(each, "text", "") for each in stored]
        say(f"the log makes the transcript that was seen, {len(stored)} items")
    return 0
