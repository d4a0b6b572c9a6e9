"""What carrying a token costs: an authenticated request through `Fetcher` against a bare httpx client.

The bare client is httpx.AsyncClient as one would first write it, with the token as a fixed header: no gate, no
healing, no typed errors, no record of the exchange. Same process, same server process, valid token, blocks of requests
in turn so that a busy machine hits both alike; ratios are medians over rounds, of the time on the clock and of this
process's processor time, which a busy machine disturbs less.

- `one at a time` and its `+ decode`: GETs of 1 KB in sequence; the second decodes the body with msgspec into a frozen
  value on both sides, as the application does with every answer.
- `50 at once`: 50 GETs that a server answers after 20 ms, through `Fetcher` and through a bare client behind a gate of
  six, without a token.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import gc
import pstats
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
from _bare import bare_client

from app.core.auth.credential import Credential
from app.core.auth.grant.files import GrantFiles
from app.core.auth.grant.grant import Grant
from app.core.auth.http.clients import HttpClients
from app.core.auth.oauth.authorization_server import AuthorizationServer
from app.core.auth.tokens import TokenSet
from app.core.auth.vault.vaults import MemoryVault
from app.core.fetcher import IN_FLIGHT, Fetcher
from app.core.hosts import Host
from app.core.posthog.profile import posthog_profile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

TOKEN = "phx_benchmark"
BLOCK = 40
ROUNDS = 40
AT_ONCE = 50
AT_ONCE_ROUNDS = 25
TARGET = 1.10


@dataclass(frozen=True)
class Task:
    id: str
    slug: str
    title: str
    description: str
    repository: str | None
    created_at: str
    archived: bool


class Settings:
    """Remembers nothing."""

    def get(self, key: str, default: object = None) -> object:
        return default

    async def set(self, key: str, value: object) -> None:
        return None

    async def refresh(self, key: str) -> None:
        return None


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The origin of a server process."""
    script = Path(__file__).with_name("_scripted_server.py")
    with subprocess.Popen(
        [sys.executable, str(script), TOKEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


@contextlib.asynccontextmanager
async def fetcher_of(origin: str, folder: Path) -> AsyncIterator[Fetcher]:
    host = Host("bench", "Bench", origin)
    transport = HttpClients()
    session = Credential(
        AuthorizationServer(transport, posthog_profile(host)),
        GrantFiles(folder, "grant"),
        Settings(),
        folder,
        vault=MemoryVault(),
    )
    await session.sign_in(Grant(TokenSet(TOKEN)), "benchmark")
    try:
        yield Fetcher(transport, session, host)
    finally:
        await session.close()
        await transport.close()


@dataclass(frozen=True)
class Cost:
    """Of one block, in seconds."""

    clock: float
    processor: float


async def cost_of(block: Callable[[], Awaitable[None]]) -> Cost:
    clock, processor = perf_counter(), process_time()
    await block()
    return Cost(perf_counter() - clock, process_time() - processor)


async def in_turn(
    rounds: int, bare: Callable[[], Awaitable[None]], ours: Callable[[], Awaitable[None]]
) -> list[tuple[Cost, Cost]]:
    """(bare, ours) a round; who goes first alternates."""
    await bare()
    await ours()
    pairs = []
    for number in range(rounds):
        gc.collect()
        if number % 2:
            second, first = await cost_of(ours), await cost_of(bare)
        else:
            first, second = await cost_of(bare), await cost_of(ours)
        pairs.append((first, second))
    return pairs


def report(name: str, pairs: list[tuple[Cost, Cost]], unit: float, word: str) -> float:
    """Print a line and return the ratio of times on the clock."""
    ratios = sorted(ours.clock / bare.clock for bare, ours in pairs)
    processor = median(ours.processor / bare.processor for bare, ours in pairs)
    ratio = median(ratios)
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    bare = median(cost.clock for cost, _ in pairs) * unit
    ours = median(cost.clock for _, cost in pairs) * unit
    verdict = "ok" if ratio <= TARGET else f"above {TARGET:.2f}"
    print(
        f"{name:<23} x{ratio:.3f} ({low:.3f} to {high:.3f}), processor x{processor:.3f}  "
        f"{bare:6.0f} -> {ours:6.0f} {word}  {verdict}",
        flush=True,
    )
    return ratio


async def one_at_a_time(origin: str, fetcher: Fetcher, rounds: int, decode: bool) -> list[tuple[Cost, Cost]]:
    url = f"{origin}/now"
    decoder = msgspec.json.Decoder(Task)
    async with bare_client({"Authorization": f"Bearer {TOKEN}"}) as client:

        async def bare() -> None:
            for _ in range(BLOCK):
                response = await client.get(url)
                response.raise_for_status()
                if decode:
                    decoder.decode(response.content)

        async def ours() -> None:
            for _ in range(BLOCK):
                answer = await fetcher.get("/now")
                if decode:
                    answer.decode(Task)

        return await in_turn(rounds, bare, ours)


async def at_once(origin: str, authenticated: Fetcher, rounds: int) -> list[tuple[Cost, Cost]]:
    url = f"{origin}/later"
    async with bare_client({"X-Probe": f"Bearer {TOKEN}"}) as client:
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def one() -> None:
            async with gate:
                (await client.get(url)).raise_for_status()

        async def bare() -> None:
            await asyncio.gather(*(one() for _ in range(AT_ONCE)))

        async def ours() -> None:
            await asyncio.gather(*(authenticated.get("/later") for _ in range(AT_ONCE)))

        return await in_turn(rounds, bare, ours)


async def profile(fetcher: Fetcher) -> None:
    """Where the time of a request through `Fetcher` goes."""
    profiler = cProfile.Profile()
    await fetcher.get("/now")
    profiler.enable()
    for _ in range(2000):
        await fetcher.get("/now")
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


async def run(options: argparse.Namespace) -> int:
    with server() as origin, tempfile.TemporaryDirectory() as folder:
        async with fetcher_of(origin, Path(folder)) as fetcher:
            if options.profile:
                await profile(fetcher)
                return 0
            rounds = max(options.rounds, 1)
            micro = 1e6 / BLOCK
            ratios = [
                report("one at a time", await one_at_a_time(origin, fetcher, rounds, False), micro, "us a request"),
                report(
                    "one at a time + decode", await one_at_a_time(origin, fetcher, rounds, True), micro, "us a request"
                ),
                report(
                    "50 at once, 20 ms each", await at_once(origin, fetcher, min(rounds, AT_ONCE_ROUNDS)), 1e3, "ms"
                ),
            ]
    return 0 if all(ratio <= TARGET for ratio in ratios) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    raise SystemExit(main())
