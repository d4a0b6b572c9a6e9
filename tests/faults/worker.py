"""One Burrow process of a test: `python -m tests.faults.worker FOLDER ORIGIN [--hang-at STEP] …`.

Reads lines from standard input (`get PATH TIMES`, `sign-out`, `state`) and answers each with one line of JSON. With
`--hang-at` it stops for ever at a step of its first renewal, after a line that says so, so that it can be killed there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from app.core.auth.credential import Credential
from app.core.auth.grant.files import GrantFiles
from app.core.auth.grant.journal import Journal
from app.core.auth.grant.lock import ProcessLock
from app.core.auth.grant.store import GrantStore
from app.core.auth.http.clients import HttpClients
from app.core.auth.oauth.authorization_server import AuthorizationServer
from app.core.auth.status import CredentialState
from app.core.auth.tokens import Fingerprints
from app.core.auth.vault.vaults import FileVault, KeyringVault
from app.core.errors import BurrowError
from app.core.fetcher import Fetcher
from app.core.hosts import Host
from app.core.posthog.profile import posthog_profile
from app.core.storage import Storage

STEPS = ("before the lock", "in the lock", "written down", "answered", "stored", "settled")


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def hang(step: str) -> None:
    say(at=step)
    await asyncio.Event().wait()


def before(owner: Any, name: str, step: str) -> None:
    original: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def stopped(*arguments: Any, **named: Any) -> Any:
        await hang(step)
        return await original(*arguments, **named)

    setattr(owner, name, stopped)


def after(owner: Any, name: str, step: str) -> None:
    original: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def stopped(*arguments: Any, **named: Any) -> Any:
        await original(*arguments, **named)
        await hang(step)

    setattr(owner, name, stopped)


def hang_at(step: str) -> None:
    """Stop the first renewal of this process at `step`."""
    match step:
        case "before the lock":
            before(ProcessLock, "_acquire", step)
        case "in the lock":
            before(GrantStore, "newest", step)
        case "written down":
            after(Journal, "begin", step)
        case "answered":
            after(AuthorizationServer, "refresh", step)
        case "stored":
            after(GrantStore, "save", step)
        case "settled":
            after(Journal, "settle", step)


async def main(options: argparse.Namespace) -> None:
    folder, origin = Path(options.folder), options.origin
    storage = Storage.open(folder)
    host = Host("scripted", "Scripted", origin, None, "client")
    transport = HttpClients()
    oauth = AuthorizationServer(transport, posthog_profile(host))
    name = "grant-" + origin.rpartition(":")[2]
    files = GrantFiles(folder, name, deadline=options.lock_seconds)
    journal = Journal(oauth.profile.key, storage.grants, fingerprints=Fingerprints(b"test"), process=options.name)
    vault = KeyringVault() if options.keyring else FileVault(folder)
    session = Credential(oauth, files, storage.settings, folder, vault=vault, journal=journal)
    asked = 0

    def told(status: Any) -> None:
        nonlocal asked
        asked += status.state is CredentialState.NEEDS_SIGN_IN

    session.changed.subscribe(told)
    fetcher = Fetcher(transport, session, host)
    await transport.client()
    await session.restore()
    if options.hang_at:
        hang_at(options.hang_at)
    say(ready=session.status.state.value)

    async def one(path: str) -> str:
        try:
            return str((await fetcher.get(path)).status)
        except BurrowError as failure:
            return f"{type(failure).__name__}: {failure.cause}"

    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        verb, *words = line.split()
        outcomes: list[str] = []
        if verb == "get":
            outcomes = list(await asyncio.gather(*(one(words[0]) for _ in range(int(words[1])))))
        elif verb == "sign-out":
            await session.sign_out()
        elif verb == "wake":
            session.wake()
        grant = session.grant
        say(
            outcomes=outcomes,
            state=session.status.state.value,
            generation=grant.tokens.generation if grant else None,
            asked=asked,
        )
    await session.close()
    await transport.close()
    await storage.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("origin")
    parser.add_argument("--name", default="worker")
    parser.add_argument("--hang-at", choices=STEPS)
    parser.add_argument("--lock-seconds", type=float, default=55.0)
    parser.add_argument("--keyring", action="store_true")
    asyncio.run(main(parser.parse_args()))
