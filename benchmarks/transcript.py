"""What a long log of a run costs: to open it, to add to it while it runs, and to keep it.

`open` reads a log of JSON lines and makes its transcript. `slice` is the longest that the loop is held while the same
log is read in slices, as the follower does it. `append` is the processor time that 1,000 live entries a second take, as
a share of one core. `memory` is what the transcript holds when the log is read. `item` reads an item from the file.
Times are processor time, because other work on the machine says nothing about ours; `open` is a median.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import sys
import tempfile
import tracemalloc
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time, thread_time
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.core.runs.log_entries import LogEntry, iterate_lines, read_entry
from app.core.runs.slices import apply_in_slices
from app.core.runs.transcript import Transcript

ENTRIES = 100_000
ROUNDS = 3
OPEN_TARGET, SLICE_TARGET, APPEND_TARGET, MEMORY_TARGET, ITEM_TARGET = 1_000.0, 8.0, 5.0, 40.0, 1.0
STEPS = 20


class Log:
    """A log as an agent writes it: in each turn twenty times a message, a tool call with its updates, and the usage."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def rpc(self, **message: Any) -> None:
        seconds = len(self.lines)
        at = f"2026-11-29T{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.123Z"
        entry = {"type": "notification", "timestamp": at, "notification": {"jsonrpc": "2.0", **message}}
        self.lines.append(json.dumps(entry).encode())

    def update(self, kind: str, /, **fields: Any) -> None:
        self.rpc(method="session/update", params={"sessionId": "s", "update": {"sessionUpdate": kind, **fields}})

    def turn(self, number: int, *, live: bool = False) -> None:
        """One turn; `live` has the chunks that a stream has."""
        prompt = {"type": "text", "text": "Please go on with the next step of it."}
        self.rpc(id=number, method="session/prompt", params={"prompt": [prompt]})
        for step in range(STEPS):
            text, name = (
                "Looking at **the code** of this part, then I change it.\n\n" * 3,
                f"toolu_{number:06}_{step:02}",
            )
            if live:
                for word in text.split(" "):
                    self.update("agent_message_chunk", content={"type": "text", "text": f"{word} "})
            else:
                self.update("agent_message", content={"type": "text", "text": text})
            called = {"title": "Read src/app/main.py", "kind": "read", "rawInput": {"file_path": "src/app/main.py"}}
            self.update("tool_call", toolCallId=name, status="pending", **called)
            self.update("tool_call_update", toolCallId=name, status="in_progress")
            content = {"type": "text", "text": "def main():\n    return 1\n" * 12}
            result = [{"type": "content", "content": content}]
            self.update("tool_call_update", toolCallId=name, status="completed", content=result)
            self.update("usage_update", used=number * 1_000 + step, size=200_000)
        self.rpc(id=number, result={"stopReason": "end_turn"})


def stored(count: int) -> bytes:
    log, turn = Log(), 0
    while len(log.lines) < count:
        log.turn(turn)
        turn += 1
    return b"\n".join(log.lines[:count])


def streamed(count: int) -> list[LogEntry]:
    log, turn = Log(), 10_000_000
    while len(log.lines) < count:
        log.turn(turn, live=True)
        turn += 1
    found = (read_entry(line, event_id=f"log-{number}", live=True) for number, line in enumerate(log.lines[:count]))
    return [each for each in found if each is not None]


def opened(content: bytes, folder: Path) -> tuple[float, Transcript]:
    """Milliseconds of processor time."""
    started = process_time()
    transcript = Transcript(folder=folder)
    transcript.apply(tuple(iterate_lines(content)))
    return (process_time() - started) * 1000, transcript


def longest_slice(content: bytes, folder: Path) -> float:
    """The longest that something else waited for the loop, in ms of processor time of its thread."""
    waits: list[float] = []

    async def heartbeat() -> None:
        while True:
            before = thread_time()
            await asyncio.sleep(0)
            waits.append((thread_time() - before) * 1000)

    async def work() -> None:
        beating = asyncio.create_task(heartbeat())
        transcript = Transcript(folder=folder)
        again = transcript.rebuild()
        await apply_in_slices(again.apply, iterate_lines(content))
        again.finish()
        beating.cancel()
        transcript.close()

    asyncio.run(work())
    return max(waits)


def share(transcript: Transcript, entries: list[LogEntry]) -> float:
    """Percent of one core, at 1,000 entries a second in batches of 16 ms."""
    started = process_time()
    for first in range(0, len(entries), 16):
        transcript.apply(entries[first : first + 16])
    return (process_time() - started) / (len(entries) / 1_000) * 100


def held(content: bytes, folder: Path) -> tuple[float, int]:
    """What a transcript holds, in MB, and how many items it has."""
    gc.collect()
    tracemalloc.start()
    transcript = Transcript(folder=folder)
    for entry in iterate_lines(content):
        transcript.apply((entry,))
    del entry
    gc.collect()
    size, count = tracemalloc.get_traced_memory()[0], len(transcript)
    tracemalloc.stop()
    transcript.close()
    return size / 1e6, count


def item(transcript: Transcript) -> float:
    """Milliseconds to read an item of the file, of 99 of 100."""
    chosen = random.Random(1)
    times: list[float] = []
    for _ in range(2_000):
        index = chosen.randrange(len(transcript) // 2)
        started = perf_counter()
        transcript.item(index)
        times.append((perf_counter() - started) * 1000)
    return quantiles(times, n=100)[-1]


def main() -> None:
    """Measure all of it and say how it stands."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    # As in the application, whose collector runs between two events (app/ui/collector.py).
    gc.disable()
    content = stored(asked.entries)
    live = streamed(5_000)
    print(f"{asked.entries:,} entries, {len(content) / 1e6:.0f} MB")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        times: list[float] = []
        for _ in range(asked.rounds):
            took, transcript = opened(content, folder)
            times.append(took)
            transcript.close()
        _say("open", median(times), "ms", OPEN_TARGET)
        _say("slice", longest_slice(content, folder), "ms", SLICE_TARGET)
        _, transcript = opened(content, folder)
        _say("append", share(transcript, live), "%", APPEND_TARGET)
        _say("item", item(transcript), "ms", ITEM_TARGET)
        transcript.close()
        size, count = held(content, folder)
        _say("memory", size, "MB", MEMORY_TARGET)
        print(f"{'':10} {count:,} items")


def _say(name: str, value: float, unit: str, target: float) -> None:
    print(f"{name:10} {value:8.2f} {unit:3} target {target:,.0f} {'ok' if value <= target else 'MISSED'}")


if __name__ == "__main__":
    main()
