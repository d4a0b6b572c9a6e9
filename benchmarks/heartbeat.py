"""How steady the window stays while JSON is loaded: 400 GETs of 240 KB over loopback, against a 5 ms heartbeat.

`stock` is what one would write first: qasync's loop, httpx with 50 requests in flight, `response.json()`. `burrow` is
what the application does: its own loop, PySide6's import hook undone, its transport behind a gate of six, a page of
tasks decoded into its values, the collector frozen and on the Qt thread. Rounds alternate in fresh processes against
one server process, so that a busy machine hits both alike; trust the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["QT_API"] = "pyside6"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

REQUESTS = 400
WARM_UP = 12
ROUNDS = 4
BEAT_MS = 5
FRAME_MS = 16.0
TARGET_P99_MS = 8.0
TARGET_RATIO = 6.0
ARMS = {"stock": 50, "burrow": 6}


def decoder(arm: str) -> Callable[[Any], object]:
    """How an arm reads a response."""
    if arm == "stock":
        return lambda response: response.json()
    from app.core.fetcher import Answer
    from app.core.posthog.types import Task
    from app.core.posthog.wire import decode_page

    return lambda response: decode_page(
        Answer(response.status_code, response.headers, response.content, str(response.url)), Task
    )


async def opened(arm: str) -> httpx.AsyncClient:
    """The client an arm asks."""
    if arm == "burrow":
        from app.core.auth.http.clients import HttpClients

        return await HttpClients().client()
    import httpx

    return httpx.AsyncClient(trust_env=False)


async def load(arm: str, url: str, in_flight: int) -> dict[str, Any]:
    """Load everything once: requests per second, CPU ms per request, the gaps between heartbeats in ms."""
    from PySide6.QtCore import Qt, QTimer

    from app.ui.loop import freeze_collector

    read = decoder(arm)
    gate = asyncio.Semaphore(in_flight)
    gaps: list[float] = []
    last = 0.0

    def beat() -> None:
        nonlocal last
        now = time.perf_counter()
        gaps.append((now - last) * 1000)
        last = now

    async with await opened(arm) as client:

        async def one() -> None:
            async with gate:
                response = await client.get(url)
            read(response)

        await asyncio.gather(*(one() for _ in range(WARM_UP)))
        collector = freeze_collector() if arm == "burrow" else None
        heart = QTimer()
        heart.setTimerType(Qt.TimerType.PreciseTimer)
        heart.timeout.connect(beat)
        heart.start(BEAT_MS)
        began = last = time.perf_counter()
        spent = time.process_time()
        await asyncio.gather(*(one() for _ in range(REQUESTS)))
        took = time.perf_counter() - began
        spent = time.process_time() - spent
        heart.stop()
        if collector is not None:
            collector.stop()
    return {"rate": REQUESTS / took, "cpu": spent / REQUESTS * 1000, "gaps": gaps}


def run_arm(arm: str, url: str, in_flight: int) -> None:
    """One round of one arm, in this process; prints one JSON line."""
    from app.ui.imports import unhook  # isort: skip - before PySide6
    from PySide6.QtWidgets import QApplication

    if arm == "burrow":
        unhook()
    from qasync import QEventLoop

    from app.ui.loop import Loop

    app = QApplication([])
    factory = {"stock": QEventLoop, "burrow": Loop}[arm]
    with asyncio.Runner(loop_factory=lambda: factory(app)) as runner:
        print(json.dumps(runner.run(load(arm, url, in_flight))))


def measure(rounds: int, in_flight: dict[str, int]) -> dict[str, list[dict[str, Any]]]:
    """Alternate the arms against one server."""
    here = Path(__file__).resolve()
    server = subprocess.Popen(
        [sys.executable, str(here.with_name("_json_server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    results: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    with server, server.stdin:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/api/projects/1/tasks/"
        for _ in range(rounds):
            for arm in ARMS:
                command = [sys.executable, str(here), "--arm", arm, "--url", url, "--in-flight", str(in_flight[arm])]
                line = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                results[arm].append(json.loads(line))
    return results


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def report(results: dict[str, list[dict[str, Any]]], in_flight: dict[str, int]) -> None:
    """Print a table over all rounds and whether the targets were reached."""
    print(
        f"{'arm':8} {'in flight':>9} {'req/s':>6} {'CPU ms':>6} {'p50':>6} {'p99':>6} {'max':>6} {'>16 ms':>7}  rounds"
    )
    for arm, rounds in results.items():
        gaps = [gap for one in rounds for gap in one["gaps"]]
        rate = sum(one["rate"] for one in rounds) / len(rounds)
        cpu = sum(one["cpu"] for one in rounds) / len(rounds)
        slow = sum(gap > FRAME_MS for gap in gaps) / len(gaps)
        each = ", ".join(f"{one['rate']:.0f}/{percentile(one['gaps'], 0.99):.1f}" for one in rounds)
        spread = f"{percentile(gaps, 0.5):6.1f} {percentile(gaps, 0.99):6.1f} {max(gaps):6.1f} {slow:7.1%}"
        print(f"{arm:8} {in_flight[arm]:9} {rate:6.0f} {cpu:6.2f} {spread}  {each}")
    stock, burrow = results["stock"], results["burrow"]
    ratios = sorted(ours["rate"] / theirs["rate"] for ours, theirs in zip(burrow, stock, strict=True))
    ratio = ratios[len(ratios) // 2]
    p99 = percentile([gap for one in burrow for gap in one["gaps"]], 0.99)
    quick = "met" if ratio >= TARGET_RATIO else "missed"
    smooth = "met" if p99 <= TARGET_P99_MS else "missed"
    print(f"throughput ratio {ratio:.1f} (median of rounds; target {TARGET_RATIO:.0f}): {quick}")
    print(f"heartbeat p99 of burrow {p99:.1f} ms (target {TARGET_P99_MS:.0f}): {smooth}")


def main() -> None:
    """Measure, or run one arm where the parent asks for it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--gate", type=int, default=ARMS["burrow"], help="requests in flight of burrow's arm")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--in-flight", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arm:
        run_arm(arguments.arm, arguments.url, arguments.in_flight)
        return
    in_flight = ARMS | {"burrow": arguments.gate}
    report(measure(arguments.rounds, in_flight), in_flight)


if __name__ == "__main__":
    main()
