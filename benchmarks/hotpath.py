"""What carrying a valid token costs: at most 10 us a request, and nobody waits for anybody else.

- In memory: a bare client with the token as a fixed header against the same client with `SessionAuth`, both on a
  transport that answers at once, in processor time, as nothing is waited for. Short blocks of requests in turn, so that
  a busy machine hits both alike; what is added is the median of the differences between neighbours, beside the
  difference of the fastest blocks. `rpc` is a JSON-RPC POST to a target whose answers are looked into even when they
  are a 200.
- Over sockets: 50 requests at once that a server answers after 5 ms, through a gate of six, by a bare client with a
  fixed header, by one with `SessionAuth`, and through `Fetcher`. A lock that is held across a request would show here.

Both for httpx, which speaks REST, and httpx2, which the MCP SDK speaks.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
from _control import Pair, rotating_server
from _signed_in import PATH, Rig, application

from app.core.auth.http.clients import CONNECTIONS, KEEPALIVE_CONNECTIONS, TIMEOUT_SECONDS
from app.core.auth.http.target import Target
from app.core.fetcher import IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

LIBRARIES: dict[str, Any] = {"httpx": httpx, "httpx2": httpx2}
BLOCK = 10
ROUNDS = 1500
AT_ONCE = 50
AT_ONCE_ROUNDS = 30
TARGET_MICROSECONDS = 10.0
TARGET_RATIO = 1.05
BODY = b'{"id": "0192f0c1", "slug": "BUR-42", "title": "Look at what happened", "archived": false}'
RPC = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask", "arguments": {"q": "why"}}}
RPC_BODY = b'{"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "Because."}]}}'


@dataclass(frozen=True)
class Case:
    """One kind of request in memory, sent with a fixed header and with `SessionAuth`."""

    name: str
    library: Any
    rpc: bool

    def client(self, headers: dict[str, str], auth: Any) -> Any:
        body = RPC_BODY if self.rpc else BODY

        class Body(self.library.AsyncByteStream):  # type: ignore[misc, name-defined]
            """Comes in one piece, unread so far, as from a socket."""

            async def __aiter__(self) -> AsyncIterator[bytes]:
                yield body

        def answer(request: Any) -> Any:
            return self.library.Response(200, headers={"Content-Type": "application/json"}, stream=Body())

        return self.library.AsyncClient(transport=self.library.MockTransport(answer), headers=headers, auth=auth)

    async def send(self, client: Any, url: str) -> None:
        if self.rpc:
            await client.post(url, json=RPC)
        else:
            await client.get(url)


CASES = (Case("httpx GET", httpx, False), Case("httpx2 GET", httpx2, False), Case("httpx2 rpc", httpx2, True))


def authority(rig: Rig, *, rpc: bool = False) -> Any:
    return rig.credential.auth(Target(rig.host.token_origins, jsonrpc=rpc, reports_own_auth=rpc, name="bench"))


def fixed(rig: Rig) -> dict[str, str]:
    assert rig.credential.grant is not None
    return {"Authorization": rig.credential.grant.tokens.bearer}


async def in_turn(
    rounds: int, clock: Callable[[], float], *blocks: Callable[[], Awaitable[None]]
) -> list[tuple[float, ...]]:
    """Seconds of each block by `clock`, a row a round; who goes first changes."""
    for block in blocks:
        await block()
    rows = []
    for turn in range(rounds):
        taken = [0.0] * len(blocks)
        for step in range(len(blocks)):
            which = (turn + step) % len(blocks)
            began = clock()
            await blocks[which]()
            taken[which] = clock() - began
        rows.append(tuple(taken))
    return rows


async def in_memory(rig: Rig, case: Case, rounds: int) -> list[tuple[float, ...]]:
    url = f"{rig.host.origin}{PATH}"
    async with case.client(fixed(rig), None) as bare, case.client({}, authority(rig, rpc=case.rpc)) as ours:

        def block(client: Any) -> Callable[[], Awaitable[None]]:
            async def run() -> None:
                for _ in range(BLOCK):
                    await case.send(client, url)

            return run

        return await in_turn(rounds, process_time, block(bare), block(ours))


async def over_sockets(rig: Rig, library: Any, rounds: int) -> list[tuple[float, ...]]:
    """Rows of (bare, SessionAuth, Fetcher); without the last for a library that `Fetcher` does not speak."""
    url = f"{rig.host.origin}{PATH}"
    options = {
        "timeout": TIMEOUT_SECONDS,
        "verify": False,
        "limits": library.Limits(max_connections=CONNECTIONS, max_keepalive_connections=KEEPALIVE_CONNECTIONS),
    }
    fetcher = rig.fetcher(IN_FLIGHT)

    def block(ask: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            await asyncio.gather(*(ask() for _ in range(AT_ONCE)))

        return run

    def gated(client: Any) -> Callable[[], Awaitable[None]]:
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def ask() -> None:
            async with gate:
                (await client.get(url)).raise_for_status()

        return block(ask)

    async with (
        library.AsyncClient(headers=fixed(rig), **options) as bare,
        library.AsyncClient(auth=authority(rig), **options) as ours,
    ):
        blocks = [gated(bare), gated(ours)]
        if library is httpx:
            blocks.append(block(lambda: fetcher.get(PATH)))
        return await in_turn(rounds, perf_counter, *blocks)


def report_in_memory(name: str, rows: list[tuple[float, ...]], target: float | None) -> None:
    micro = 1e6 / BLOCK
    bare, ours = (median(row[which] for row in rows) * micro for which in (0, 1))
    differences = sorted((ours - bare) * micro for bare, ours in rows)
    added, low, high = (differences[int(len(differences) * share)] for share in (0.5, 0.25, 0.75))
    least = (min(row[1] for row in rows) - min(row[0] for row in rows)) * micro
    verdict = "" if target is None else f"  target {target:.0f}: {'met' if added <= target else 'missed'}"
    print(f"{name:11}{bare:9.1f}{ours:9.1f}{added:8.1f}{least:8.1f}   {low:.1f} to {high:.1f}{verdict}", flush=True)


def report_over_sockets(library: str, rows: list[tuple[float, ...]]) -> None:
    bare = median(row[0] for row in rows) * 1000
    for which, name in list(enumerate(("bare", "SessionAuth", "Fetcher")))[1 : len(rows[0])]:
        ratios = sorted(row[which] / row[0] for row in rows)
        ratio, low, high = (ratios[int(len(ratios) * share)] for share in (0.5, 0.25, 0.75))
        ours = median(row[which] for row in rows) * 1000
        verdict = "met" if ratio <= TARGET_RATIO else "missed"
        print(
            f"{library:7}{name:12}{bare:8.1f}{ours:8.1f}   x{ratio:.3f} ({low:.3f} to {high:.3f})"
            f"  target {TARGET_RATIO}: {verdict}",
            flush=True,
        )


async def profile(rig: Rig, case: Case) -> None:
    """Where the time of a request with `SessionAuth` goes."""
    url = f"{rig.host.origin}{PATH}"
    profiler = cProfile.Profile()
    async with case.client({}, authority(rig, rpc=case.rpc)) as client:
        await case.send(client, url)
        profiler.enable()
        for _ in range(5000):
            await case.send(client, url)
        profiler.disable()
    pstats.Stats(profiler).sort_stats("cumtime").print_stats(r"app/core|_client\.py|_models\.py.*__init__", 40)


async def run(options: argparse.Namespace, origin: str, folder: Path, pair: Pair) -> None:
    async with application(origin, folder) as rig:
        await rig.sign_in(pair)
        if options.profile:
            await profile(rig, next(case for case in CASES if case.name == options.profile))
            return
        gc.collect()
        gc.freeze()
        rounds = max(options.rounds, 4)
        print(f"in memory, us of the processor a request, {rounds} blocks of {BLOCK}")
        print(f"{'':11}{'bare':>9}{'ours':>9}{'added':>8}{'of min':>8}   quartiles")
        for case in CASES:
            target = TARGET_MICROSECONDS
            report_in_memory(case.name, await in_memory(rig, case, rounds), target)
        rounds = min(rounds, AT_ONCE_ROUNDS)
        print(f"\n{AT_ONCE} at once over sockets, {IN_FLIGHT} in flight, ms, {rounds} rounds")
        print(f"{'':19}{'bare':>8}{'ours':>8}   ratio (quartiles)")
        for name, library in LIBRARIES.items():
            report_over_sockets(name, await over_sockets(rig, library, rounds))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--profile", choices=[case.name for case in CASES], help="show where the time goes instead")
    options = parser.parse_args()
    with rotating_server() as control, tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(options, control.origin, Path(folder), control.new_grant()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
