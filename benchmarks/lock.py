"""What the lock between processes adds to a renewal where nobody else wants it; its target is 2 ms at the median.

- the lock taken and given back, and the same with a look at the stamp, as the start of every renewal does;
- whole renewals against a token endpoint that answers at once, everything else as durable as in the application: with
  the lock and with one that does nothing, in turn, so that a busy machine hits both alike. The cost is the median of
  the differences between neighbours.

The import of the lock's library, once a process, is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, cast

import httpx
from _control import Pair
from _signed_in import Rig, application

from app.core.auth.cause import ASKED
from app.core.auth.grant import brake
from app.core.auth.http.clients import ClientPair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.core.auth.grant.files import GrantFiles
    from app.core.auth.grant.lock import ProcessLock

RENEWALS = 200
WARM_UP = 5
TARGET_MS = 2.0
ORIGIN = "http://127.0.0.1:9"


class NoLock:
    """Lets everybody in."""

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        yield

    try_hold = hold


def token_endpoint() -> httpx.MockTransport:
    """An authorization server that answers at once."""
    serial = itertools.count(2)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/.well-known/"):
            return httpx.Response(404)
        number = next(serial)
        pair = {"access_token": f"pha_{number}", "refresh_token": f"phr_{number}", "expires_in": 3600}
        return httpx.Response(200, json={**pair, "token_type": "Bearer"})

    return httpx.MockTransport(answer)


async def seconds_of_lock(files: GrantFiles, look: bool) -> float:
    began = perf_counter()
    async with files.lock.hold():
        if look:
            files.stamp()
    return perf_counter() - began


async def seconds_of_renewal(rig: Rig) -> float:
    assert rig.credential.grant is not None
    began = perf_counter()
    await rig.credential.refresh(rig.credential.grant.tokens, ASKED)
    return perf_counter() - began


@contextlib.asynccontextmanager
async def signed_in(folder: Path, *, locked: bool) -> AsyncIterator[Rig]:
    # It would stop the refreshes after ten.
    brake.MAX_IN_WINDOW = 1_000_000
    lock = None if locked else cast("ProcessLock", NoLock())
    async with (
        httpx.AsyncClient(transport=token_endpoint()) as client,
        application(ORIGIN, folder, lock=lock, clients=ClientPair(client, client)) as rig,
    ):
        await rig.sign_in(Pair(0, "pha_1", "phr_1"))
        yield rig


def line(name: str, seconds: list[float]) -> float:
    """Print a row in ms and return the median."""
    ordered = sorted(seconds)
    middle, slow = median(ordered) * 1000, ordered[int(len(ordered) * 0.9)] * 1000
    print(f"{name:38}{middle:8.3f}{ordered[0] * 1000:8.3f}{slow:8.3f}", flush=True)
    return middle


async def measure(number: int) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        async with signed_in(Path(one), locked=True) as ours, signed_in(Path(other), locked=False) as free:
            for _ in range(WARM_UP):
                await seconds_of_renewal(ours)
                await seconds_of_renewal(free)
            held = [await seconds_of_lock(ours.files, False) for _ in range(number)]
            looked = [await seconds_of_lock(ours.files, True) for _ in range(number)]
            pairs = []
            for turn in range(number):
                if turn % 2:
                    without = await seconds_of_renewal(free)
                    pairs.append((await seconds_of_renewal(ours), without))
                else:
                    pairs.append((await seconds_of_renewal(ours), await seconds_of_renewal(free)))
    print(f"{'ms':38}{'median':>8}{'min':>8}{'p90':>8}")
    line("lock taken and given back", held)
    took = line("the same with a look at the stamp", looked)
    whole = line("renewal with the lock", [with_lock for with_lock, _ in pairs])
    line("renewal without", [without for _, without in pairs])
    added = median(with_lock - without for with_lock, without in pairs) * 1000
    for words, cost in (("lock and look by themselves", took), ("added to a whole renewal", added)):
        verdict = "met" if cost <= TARGET_MS else "missed"
        print(f"{words}: {cost:.2f} ms, {cost / whole:.1%} of a renewal; target {TARGET_MS:.0f} ms: {verdict}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renewals", type=int, default=RENEWALS)
    asyncio.run(measure(max(parser.parse_args().renewals, 2)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
