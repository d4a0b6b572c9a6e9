"""What becomes of 50 and of 1,000 requests started at once when the access token has died, beside other clients.

The server rotates in place and has no grace: a refresh token that is sent twice ends the grant. By the clock the token
lives, so only refusals tell. Every arm runs in a process and an environment of its own against one server process, in
turn, warmed up by requests with the living token. `burrow` is the application's session behind its `Fetcher`, its
renewals as durable as in the application; `burrow ungated` is the same without the gate of six, so that every request
is refused. The peers are used as their documentation says: `mcp` is the MCP SDK's `OAuthClientProvider`, `authlib` its
`AsyncOAuth2Client` that may renew, `google-auth` its `AuthorizedSession` in 50 threads.

Counts are the same whatever the machine does, and decide the exit code. Burrow's time is compared in the same process
with what cannot be avoided: one refused round, one refresh and one good round of the same requests by a bare client
behind the same gate. That ratio is printed as met or missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from _bare import bare_client
from _control import Control, rotating_server
from _env import peer_python
from _signed_in import CLIENT_ID, PATH, Rig, application

from app.core.auth.status import CredentialState
from app.core.errors import BurrowError
from app.core.fetcher import IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import httpx

AT_ONCE = (50, 1000)
ROUNDS = {50: 4, 1000: 1}
# A grant that servers refuse may be renewed ten times a minute; every round takes a new process and grant.
HEALS = {50: 3, 1000: 2}
WARM_UP = 12
TARGET = 1.5
TARGET_AT = 50

HERE = Path(__file__).resolve()
OURS = {"burrow": IN_FLIGHT, "burrow ungated": 1000}
PEERS = {
    "mcp": ("mcp_provider.py", ["mcp==2.3.0", "httpx2==2.16.2"]),
    "authlib": ("authlib_client.py", ["authlib==1.9.10", "httpx2==2.16.2"]),
    "google-auth": ("google_session.py", ["google-auth==2.63.0", "requests==2.34.2"]),
}


@dataclass(frozen=True)
class Heal:
    """One time that a token died: what the server saw, what the callers got, and seconds.

    `browsers` is None where a library never opens one. The yardstick's parts are 0 for peers.
    """

    accepted: int
    rejected: int
    revoked: bool
    failed: int
    browsers: int | None
    seconds: float
    refused_round: float = 0.0
    refresh: float = 0.0
    good_round: float = 0.0

    @property
    def as_due(self) -> bool:
        """Whether it went as it must for Burrow."""
        counts = (self.accepted, self.rejected, self.revoked, self.failed, self.browsers)
        return counts == (1, 0, False, 0, 0)

    @property
    def ratio(self) -> float:
        return self.seconds / (self.refused_round + self.refresh + self.good_round)


async def timed(work: Coroutine[Any, Any, Any]) -> tuple[float, Any]:
    began = perf_counter()
    result = await work
    return perf_counter() - began, result


async def at_once(number: int, one: Callable[[], Coroutine[Any, Any, Any]]) -> list[Any]:
    return await asyncio.gather(*(one() for _ in range(number)), return_exceptions=True)


async def yardstick(control: Control, in_flight: int, number: int) -> dict[str, Any]:
    """Seconds of a refused round, a refresh and a good round of a bare client, on a grant of its own."""
    pair = control.new_grant()
    gate = asyncio.Semaphore(in_flight)

    async def one(client: httpx.AsyncClient, expected: int) -> None:
        async with gate:
            assert (await client.get(f"{control.origin}{PATH}")).status_code == expected

    async with bare_client({"Authorization": f"Bearer {pair.access}"}) as client:
        for _ in range(WARM_UP):
            await one(client, 200)
        control.kill(pair.number)
        refused, _ = await timed(at_once(number, lambda: one(client, 401)))
        form = {"grant_type": "refresh_token", "refresh_token": pair.refresh, "client_id": CLIENT_ID}
        refresh, answer = await timed(client.post(f"{control.origin}/oauth/token/", data=form))
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        good, _ = await timed(at_once(number, lambda: one(client, 200)))
    return {"refused_round": refused, "refresh": refresh, "good_round": good}


async def heal(rig: Rig, control: Control, grant: int, number: int, in_flight: int) -> dict[str, Any]:
    """Kill the token and ask `number` times at once."""
    fetcher = rig.fetcher(in_flight)
    await at_once(WARM_UP, lambda: fetcher.get(PATH))
    before = control.counters(grant)
    control.kill(grant)
    seconds, answers = await timed(at_once(number, lambda: fetcher.get(PATH)))
    after = control.counters(grant)
    unexpected = [a for a in answers if isinstance(a, BaseException) and not isinstance(a, BurrowError)]
    if unexpected:
        raise unexpected[0]
    return {
        "accepted": after.accepted - before.accepted,
        "rejected": after.rejected - before.rejected,
        "revoked": after.revoked,
        "failed": sum(isinstance(answer, BurrowError) for answer in answers),
        "browsers": int(rig.credential.status.state is not CredentialState.SIGNED_IN),
        "seconds": seconds,
    }


async def run_ours(control: Control, number: int, in_flight: int) -> list[Heal]:
    """Some heals in this process, each beside its yardstick; which of the two goes first alternates."""
    heals = []
    with tempfile.TemporaryDirectory() as folder:
        async with application(control.origin, Path(folder)) as rig:
            pair = control.new_grant()
            await rig.sign_in(pair)
            for turn in range(HEALS[number]):
                parts = await yardstick(control, in_flight, number) if turn % 2 else None
                found = await heal(rig, control, pair.number, number, in_flight)
                heals.append(Heal(**found, **(parts or await yardstick(control, in_flight, number))))
    return heals


def run_peer(control: Control, arm: str, number: int) -> list[Heal]:
    script, requirements = PEERS[arm]
    command = [
        str(peer_python(arm, requirements)),
        "-I",
        str(HERE.parent / "_peers" / script),
        control.origin,
        str(number),
    ]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    seen = control.counters(found.pop("number"))
    return [Heal(seen.accepted, seen.rejected, seen.revoked, **found)]


def run_arm(control: Control, arm: str, number: int) -> list[Heal]:
    """One round of one arm in a fresh process."""
    if arm in PEERS:
        return run_peer(control, arm, number)
    command = [sys.executable, str(HERE), "--arm", arm, "--origin", control.origin, "--number", str(number)]
    lines = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return [Heal(**line) for line in lines]


def span(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"


def print_table(number: int, results: dict[str, list[Heal]]) -> None:
    print(f"\n{number} requests at once on a dead token")
    print(f"{'client':15}{'heals':>6}{'accepted':>9}{'rejected':>9}{'revoked':>9}{'failed':>8}{'browsers':>9}{'ms':>8}")
    for arm, heals in results.items():
        counts = [span([getattr(one, name) for one in heals]) for name in ("accepted", "rejected", "failed")]
        opened = [one.browsers for one in heals if one.browsers is not None]
        revoked = "yes" if any(one.revoked for one in heals) else "no"
        print(
            f"{arm:15}{len(heals):6}{counts[0]:>9}{counts[1]:>9}{revoked:>9}{counts[2]:>8}"
            f"{span(opened) if opened else '-':>9}{median(one.seconds for one in heals) * 1000:8.0f}"
        )


def print_ratio(arm: str, heals: list[Heal], target: float | None) -> None:
    ratio = median(one.ratio for one in heals)
    refused, refresh, good = (
        median(getattr(one, name) for one in heals) * 1000 for name in ("refused_round", "refresh", "good_round")
    )
    met = target is not None and ratio <= target and all(one.as_due for one in heals)
    verdict = "" if target is None else f"; target {target}: {'met' if met else 'missed'}"
    print(
        f"{arm}: {ratio:.2f} x (refused round {refused:.0f} + refresh {refresh:.0f} + good round {good:.0f} ms)"
        f"{verdict}; each {' '.join(f'{one.ratio:.2f}' for one in heals)}"
    )


def report(number: int, results: dict[str, list[Heal]]) -> bool:
    """Print what was found; whether Burrow's counts are what they must be."""
    print_table(number, results)
    ours = {arm: heals for arm, heals in results.items() if arm in OURS}
    for arm, heals in ours.items():
        print_ratio(arm, heals, TARGET if number == TARGET_AT else None)
    if not ours:
        return True
    as_due = all(one.as_due for heals in ours.values() for one in heals)
    words = "1 refresh accepted, 0 rejected, 0 requests failed, 0 browsers at each heal of burrow"
    print(f"{words}: {'met' if as_due else 'MISSED'}", flush=True)
    return as_due


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS[50], help="of 50 requests; there is one of 1,000")
    parser.add_argument("--only", choices=("ours", "peers"), help="leave the others out")
    parser.add_argument("--arm", choices=OURS, help=argparse.SUPPRESS)
    parser.add_argument("--origin", help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        heals = asyncio.run(run_ours(Control(options.origin), options.number, OURS[options.arm]))
        print(json.dumps([asdict(one) for one in heals]))
        return 0
    arms = {"ours": [*OURS], "peers": [*PEERS], None: [*OURS, *PEERS]}[options.only]
    as_due = True
    with rotating_server() as control:
        for number in AT_ONCE:
            results: dict[str, list[Heal]] = {arm: [] for arm in arms}
            for _ in range(max(options.rounds, 1) if number == 50 else ROUNDS[number]):
                for arm, heals in results.items():
                    heals += run_arm(control, arm, number)
            as_due = report(number, results) and as_due
    return 0 if as_due else 1


if __name__ == "__main__":
    raise SystemExit(main())
