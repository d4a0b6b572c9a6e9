"""What the local MCP proxy costs: calls of a tool through it, in a window that is open and idle, against calls without.

Upstream, proxy and load are processes of their own. Each round measures every arm, one after the other, so that a busy
machine hits all alike; ratios are medians over the rounds, and the direct way is 1.

- `--upstream bare`: a server on asyncio's protocols, the quickest that Python can be, so that every microsecond of a
  proxy shows; `uvicorn` is what MCP servers in Python stand on.
- The pure relays pass on and do nothing else: what the choice of the HTTP library means.
- `--peers` installs the proxies of others, and measures them before the same server.
- `--whole` measures the window besides: the gaps of its heartbeat while the proxy is saturated, its memory with and
  without the proxy, over 100,000 calls, and while 1 GB streams through it.
- `--display` opens the window under Xvfb instead of offscreen.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _proxy_peers import Peer, free_port, peers

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ROUNDS = 8
CALLS = {1: 500, 8: 1500}
STREAMS = 60
PEER_ROUNDS = 3
PEER_CALLS = {1: 60, 8: 160}
START_SECONDS = 40.0
MANY_CALLS = 100_000
FLOOD = 1 << 30
SATURATED_CALLS = 20_000
TARGETS = {"p50": 2.5, "rate": 0.5, "first": 1000.0, "heartbeat": 16.0, "memory": 25.0}


@dataclass
class Arm:
    """A way to the server. With `command` it is spoken to over pipes."""

    name: str
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    slow: bool = False
    results: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.results.setdefault(name, []).append(value)


class Load:
    """The process that asks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "_proxy_load.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, arm: Arm, what: str, **job: Any) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"what": what, "url": arm.url, "headers": arm.headers, "command": arm.command, **job}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load failed on {arm.name}")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise RuntimeError(f"{what}, {job}: {found['error']}")
        return found

    def close(self) -> None:
        self._process.communicate()


@contextlib.contextmanager
def serving(script: str, *arguments: str) -> Iterator[str]:
    """The address of a server process that prints its port."""
    command = [sys.executable, str(HERE / script), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"
        finally:
            process.stdin.close()


class Window:
    """A window of Burrow in a process of its own, with the server `url` and a client that has a key."""

    def __init__(self, folder: Path, url: str, *, proxy: bool, display: str | None) -> None:
        self.port = free_port()
        asyncio.run(_settings(folder, {"proxy_port": self.port, "proxy_enabled": proxy}))
        server = _burrow(folder, "mcp", "add", "--url", url, "--title", "Quick")["id"]
        key = _burrow(folder, "connect", "add", "benchmark")["key"]
        self.url = f"http://127.0.0.1:{self.port}/mcp/{server}"
        self.headers = {"Authorization": f"Bearer {key}"}
        environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
        if display is not None:
            environment |= {"QT_QPA_PLATFORM": "xcb", "DISPLAY": display}
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "_proxy_window.py"), "--data", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        if proxy:
            _until_listening(self.port, self._process)
        # What a window does once, after its start, is no part of this.
        time.sleep(6.0)

    @property
    def megabytes(self) -> float:
        """Its memory, that which it shares with others by its share."""
        text = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text("ascii")
        return int(text.partition("\nPss:")[2].split()[0]) / 1024

    @property
    def processor_seconds(self) -> float:
        """What all its threads have used of the processor."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text("ascii").split()[0]) for each in tasks) / 1e9

    def start_heart(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("start\n")
        self._process.stdin.flush()

    def stop_heart(self) -> list[float]:
        """The gaps between beats, in milliseconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("stop\n")
        self._process.stdin.flush()
        gaps: list[float] = json.loads(self._process.stdout.readline())
        return gaps

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


async def _settings(folder: Path, values: dict[str, Any]) -> None:
    from app.core.storage.storage import Storage

    storage = Storage.open(folder)
    for key, value in values.items():
        await storage.settings.set(key, value)
    await storage.close()


def _burrow(folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "app", *arguments, "--data", str(folder), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _until_listening(port: int, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.1)
    raise RuntimeError("a proxy did not begin to serve")


@contextlib.contextmanager
def display(wanted: bool) -> Iterator[str | None]:
    """An X server of its own, where one is wanted."""
    if not wanted:
        yield None
        return
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL) as process:
        os.close(write)
        with os.fdopen(read) as number:
            yield f":{number.readline().strip()}"
        process.terminate()


@contextlib.contextmanager
def running(peer: Peer) -> Iterator[Arm]:
    """A peer that serves; one that speaks on pipes is started by the load."""
    if peer.port is None:
        yield Arm(peer.name, command=peer.command, slow=True)
        return
    quiet = subprocess.DEVNULL
    with subprocess.Popen(peer.command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True) as process:
        try:
            _until_listening(peer.port, process)
            yield Arm(peer.name, f"http://127.0.0.1:{peer.port}{peer.path}", slow=True)
        finally:
            # With what it started itself.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)


def measure(load: Load, arms: list[Arm], rounds: int, calls: dict[int, int]) -> None:
    """Every arm in turn, the first one direct."""
    for number in range(rounds + 1):
        for arm in arms:
            what = "piped" if arm.command else "calls"
            one = load.run(arm, what, connections=1, requests=calls[1])
            eight = load.run(arm, what, connections=8, requests=calls[8])
            first = load.run(arm, "first", count=STREAMS) if not arm.slow else None
            if number == 0:
                # Warm.
                continue
            arm.add("p50", one["p50"])
            arm.add("p99", one["p99"])
            arm.add("rate1", one["rate"])
            arm.add("rate", eight["rate"])
            arm.add("p50 of 8", eight["p50"])
            if first is not None:
                arm.add("first", first["p50"])


def ratio(arm: Arm, direct: Arm, name: str) -> float:
    return median(ours / theirs for ours, theirs in zip(arm.results[name], direct.results[name], strict=True))


def table(arms: list[Arm], direct: Arm) -> None:
    print(f"\n{'':<24}{'p50, 1 connection':>20}{'calls/s, 1':>18}{'calls/s, 8':>18}{'first event after':>20}")
    for arm in arms:
        cells = [
            f"{median(arm.results['p50']):7.0f} us x{ratio(arm, direct, 'p50'):5.2f}",
            f"{median(arm.results['rate1']):7.0f} x{ratio(arm, direct, 'rate1'):5.2f}",
            f"{median(arm.results['rate']):7.0f} x{ratio(arm, direct, 'rate'):5.2f}",
        ]
        late = arm.results.get("first")
        cells.append(f"{median(late) - median(direct.results['first']):+8.0f} us" if late else "-")
        print(f"{arm.name:<24}{cells[0]:>20}{cells[1]:>18}{cells[2]:>18}{cells[3]:>20}", flush=True)


def verdict(name: str, value: float, unit: str, limit: float, *, least: bool = False) -> bool:
    good = value >= limit if least else value <= limit
    print(
        f"{name:<52}{value:10.2f} {unit:<8}{'ok' if good else 'missed'} ({'>=' if least else '<='} {limit})", flush=True
    )
    return good


def processor(load: Load, window: Window, arm: Arm) -> None:
    """The window's processor time for a call, which depends less on what else the machine does."""
    for connections, count in CALLS.items():
        used = []
        for _ in range(ROUNDS):
            before = window.processor_seconds
            load.run(arm, "calls", connections=connections, requests=count)
            used.append((window.processor_seconds - before) / count * 1e6)
        words = f"processor time of a call, {connections} connection{'s' if connections > 1 else ''}"
        print(f"{words:<52}{min(used):6.0f} us at least, {median(used):.0f} us mostly", flush=True)


def whole(load: Load, window: Window, arm: Arm, bare_megabytes: float) -> bool:
    """The window while its proxy works."""
    good = verdict("memory of the proxy in the window, idle", window.megabytes - bare_megabytes, "MB", 25.0)
    gaps = load.run(arm, "gaps", count=300, gap=0.01)
    good &= verdict("events that are 10 ms apart, p99 of their delay", gaps["p99"] / 1000, "ms", 50.0)
    quiet = _heart(window, lambda: time.sleep(5.0))
    print(f"heartbeat of the idle window, p99{quiet:>29.2f} ms")
    busy = _heart(window, lambda: load.run(arm, "calls", connections=8, requests=SATURATED_CALLS))
    good &= verdict("heartbeat while the proxy is saturated, p99", busy, "ms", TARGETS["heartbeat"])
    early = 0.0
    for part in range(10):
        load.run(arm, "calls", connections=8, requests=MANY_CALLS // 10)
        if part == 1:
            early = window.megabytes
    good &= verdict(f"memory after {MANY_CALLS} calls, over {MANY_CALLS // 5}", window.megabytes - early, "MB", 3.0)
    before, most = window.megabytes, 0.0
    ended = threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.1):
            most = max(most, window.megabytes)

    watching = threading.Thread(target=watch)
    watching.start()
    flood = load.run(arm, "flood", bytes=FLOOD)
    ended.set()
    watching.join()
    print(f"1 GB in one stream: {FLOOD / flood['seconds'] / 1e6:.0f} MB/s")
    return good & verdict("memory while it streams", most - before, "MB", 8.0)


def _heart(window: Window, work: Any) -> float:
    window.start_heart()
    work()
    return quantiles(window.stop_heart(), n=100)[98]


def run(options: argparse.Namespace) -> int:
    load = Load()
    good = True
    with contextlib.ExitStack() as stack:
        stack.callback(load.close)
        url = stack.enter_context(serving("_proxy_upstream.py", options.upstream))
        direct = Arm("direct", url)
        arms = [direct]
        for kind in ("aiohttp", "httptools"):
            relay = stack.enter_context(serving("_proxy_relay.py", kind, url))
            arms.append(Arm(f"pure relay, {kind}", relay))
        window = None
        bare_megabytes = 0.0
        if not options.relays:
            shown = stack.enter_context(display(options.display))
            if options.whole:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                bare = Window(folder, url, proxy=False, display=shown)
                bare_megabytes = bare.megabytes
                bare.close()
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            window = Window(folder, url, proxy=True, display=shown)
            stack.callback(window.close)
            ours = Arm("Burrow, window open", window.url, window.headers)
            arms.append(ours)
        measure(load, arms, options.rounds, CALLS)
        table(arms, direct)
        if window is not None:
            print()
            good &= verdict("Burrow: p50", ratio(ours, direct, "p50"), "x", TARGETS["p50"])
            good &= verdict("Burrow: calls/s over 8 connections", ratio(ours, direct, "rate"), "x", 0.5, least=True)
            later = median(ours.results["first"]) - median(direct.results["first"])
            good &= verdict("Burrow: first event of a stream", later, "us", TARGETS["first"])
            processor(load, window, ours)
            if options.whole:
                good &= whole(load, window, ours, bare_megabytes)
        if options.peers is not None:
            compare(load, url, options.peers)
    return 0 if good else 1


def compare(load: Load, url: str, wanted: list[str]) -> None:
    """The peers, each beside the direct way."""
    for peer in peers(url, wanted):
        direct = Arm("direct", url, slow=True)
        try:
            with running(peer) as arm:
                measure(load, [direct, arm], PEER_ROUNDS, PEER_CALLS)
                table([arm], direct)
        except RuntimeError as failure:
            print(f"{peer.name}: {failure}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--upstream", choices=("bare", "uvicorn"), default="uvicorn")
    parser.add_argument("--relays", action="store_true", help="only the pure relays, no window")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--display", action="store_true")
    parser.add_argument("--peers", nargs="*", help="all of them, or the named")
    return run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
