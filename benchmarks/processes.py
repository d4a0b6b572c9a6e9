"""One dead token in ten processes at once: one refresh in all, and nobody notices.

Ten processes of the application share one folder: the private file with the grant, the database with the journal, the
lock. A round begins for all of them at the same moment, and each asks five times at once: first with the living token,
then after it died on the server, which has no grace. The time of a round runs from the first process that begins to the
last that has its answers. Counts decide the exit code; the times say what a heal costs besides a good round.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Any

from _control import Control, rotating_server
from _signed_in import PATH, Rig, application

from app.core.auth.status import CredentialState
from app.core.errors import BurrowError
from app.core.fetcher import IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROCESSES = 10
AT_ONCE = 5
# A grant that servers refuse may be renewed ten times a minute.
ROUNDS = 7
HERE = Path(__file__).resolve()


@dataclass(frozen=True)
class Round:
    """What all processes together had of one round; `ways` counts how they came to a newer token."""

    seconds: float
    failed: int
    signed_out: int
    ways: Counter[str]


async def take_part(rig: Rig) -> None:
    """Ask whenever a line comes in, until standard input ends; answer each with a line of JSON."""
    fetcher = rig.fetcher(IN_FLIGHT)
    ways: list[str] = []
    rig.credential.happened.subscribe(lambda event: ways.append(event.outcome))
    await rig.credential.restore()
    await fetcher.get(PATH)
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        ways.clear()
        began = monotonic()
        answers = await asyncio.gather(*(fetcher.get(PATH) for _ in range(AT_ONCE)), return_exceptions=True)
        ended = monotonic()
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, BurrowError):
                raise answer
        found = {
            "began": began,
            "ended": ended,
            "failed": sum(isinstance(answer, BurrowError) for answer in answers),
            "signed_out": rig.credential.status.state is not CredentialState.SIGNED_IN,
            "ways": ways,
        }
        print(json.dumps(found), flush=True)


async def run_process(origin: str, folder: Path) -> None:
    async with application(origin, folder) as rig:
        await take_part(rig)


async def sign_in(control: Control, folder: Path) -> int:
    """Leave a grant in `folder`, as a former start of the application does; its number."""
    pair = control.new_grant()
    async with application(control.origin, folder) as rig:
        await rig.sign_in(pair)
    return pair.number


@contextlib.contextmanager
def started(control: Control, folder: Path, number: int) -> Iterator[list[subprocess.Popen[str]]]:
    """So many processes, ready to take part."""
    command = [sys.executable, str(HERE), "--origin", control.origin, "--folder", str(folder)]
    with contextlib.ExitStack() as stack:
        processes = []
        for _ in range(number):
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            assert process.stdin is not None
            stack.callback(process.stdin.close)
            processes.append(process)
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("a process did not come up")
        yield processes


def play(processes: Sequence[subprocess.Popen[str]]) -> Round:
    """One round of all of them at once."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found: list[dict[str, Any]] = []
    for process in processes:
        assert process.stdout is not None
        found.append(json.loads(process.stdout.readline()))
    return Round(
        max(one["ended"] for one in found) - min(one["began"] for one in found),
        sum(one["failed"] for one in found),
        sum(one["signed_out"] for one in found),
        Counter(way for one in found for way in one["ways"]),
    )


def measure(control: Control, number: int, rounds: int) -> bool:
    """Print the rounds; whether the counts are what they must be."""
    as_due = True
    pairs = []
    print(f"{number} processes, {AT_ONCE} requests each at once")
    print(f"{'round':>5}{'accepted':>9}{'rejected':>9}{'revoked':>8}{'failed':>7}{'good ms':>9}{'heal ms':>9}  how")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grant = asyncio.run(sign_in(control, folder))
        with started(control, folder, number) as processes:
            for turn in range(rounds):
                good = play(processes)
                before = control.counters(grant)
                control.kill(grant)
                heal = play(processes)
                after = control.counters(grant)
                accepted, rejected = after.accepted - before.accepted, after.rejected - before.rejected
                failed = good.failed + heal.failed
                ways = ", ".join(f"{count} {way}" for way, count in sorted(heal.ways.items()))
                print(
                    f"{turn + 1:5}{accepted:9}{rejected:9}{'yes' if after.revoked else 'no':>8}{failed:7}"
                    f"{good.seconds * 1000:9.0f}{heal.seconds * 1000:9.0f}  {ways}",
                    flush=True,
                )
                pairs.append((good.seconds, heal.seconds))
                counts = (accepted, rejected, after.revoked, failed, heal.signed_out)
                as_due = as_due and counts == (1, 0, False, 0, 0)
    added = median(heal - good for good, heal in pairs) * 1000
    ratio = median(heal / good for good, heal in pairs)
    print(f"a heal takes {ratio:.1f} x a good round, {added:.0f} ms more (medians)")
    print(f"1 refresh accepted, 0 rejected, 0 requests failed in each round: {'met' if as_due else 'MISSED'}")
    return as_due


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="ten at most: more renewals a minute are braked")
    parser.add_argument("--origin", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.origin:
        asyncio.run(run_process(options.origin, Path(options.folder)))
        return 0
    with rotating_server() as control:
        return 0 if measure(control, max(options.processes, 1), min(max(options.rounds, 1), 10)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
