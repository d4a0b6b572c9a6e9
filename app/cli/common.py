"""What several commands share: the services, and the account that a command is for."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from app.cli.terminal import say
from app.core.auth.vault.base import StoreKind
from app.core.errors import SignInNeeded
from app.core.services import Services, data_folder

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from app.core.backend import Backend


@asynccontextmanager
async def services_of(options: argparse.Namespace) -> AsyncIterator[Services]:
    """The services on the folder that `--data` names."""
    store = StoreKind(options.store) if getattr(options, "store", None) else None
    services = Services(data_folder(options.data), store=store, role="command line", long_lived=False)
    if services.storage.notice:
        say(f"burrow: {services.storage.notice}")
    try:
        yield services
    finally:
        await services.close()


async def connect(services: Services, options: argparse.Namespace) -> Backend:
    """The account that `--host` and `--account` name, else the one used last.

    Raises `SignInNeeded` when no host was ever chosen, `NotFound` for an account that is not signed in to.
    """
    named = options.host or services.remembered_host()
    if named is None:
        raise SignInNeeded("No host was chosen yet.", action="Run: burrow login --host us|eu|ADDRESS")
    host = await services.resolve(named)
    slot = services.accounts.called(options.account, host).slot if options.account else None
    return await services.connect(host, slot=slot, remember=False)


@asynccontextmanager
async def backend_of(options: argparse.Namespace, *, ready: bool = True) -> AsyncIterator[Backend]:
    """The backend of the account that a command is for; `ready` waits until it is known who that is."""
    async with services_of(options) as services:
        backend = await connect(services, options)
        if ready:
            await backend.ready()
        yield backend


def secret_of(given: str, what: str) -> str:
    """A secret from the arguments, or from standard input for `-`, which leaves it out of the process list."""
    if given != "-":
        return given
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(f"{what}: ")
    return sys.stdin.readline().rstrip("\n")
