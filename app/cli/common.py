"""What several commands share: the services, and the account that a command is for."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from app.cli.signals import interruption, to_the_end
from app.cli.terminal import read_line, say
from app.core.auth.vault.base import StoreKind
from app.core.data_folder import data_folder
from app.core.errors import BurrowError, Rejected, SignInNeeded
from app.core.services import Services

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Iterable

    from app.core.backend import Backend


class Titled(Protocol):
    """Something that is named by its id or its title."""

    @property
    def id(self) -> str: ...

    @property
    def title(self) -> str: ...


S = TypeVar("S", bound=Titled)


@asynccontextmanager
async def services_of(
    options: argparse.Namespace, *, role: str = "command line", long_lived: bool = False
) -> AsyncIterator[Services]:
    """The services on the folder that `--data` names. `role` and `long_lived`: see `Services`."""
    store = StoreKind(options.store) if getattr(options, "store", None) else None
    services = Services(data_folder(options.data), store=store, role=role, long_lived=long_lived)
    if services.storage.notice:
        say(f"burrow: {services.storage.notice}")
    command = asyncio.current_task()
    assert command is not None
    with interruption.cancels(command):
        try:
            yield services
        finally:
            try:
                await to_the_end(services.close())
            except BurrowError as failure:
                # What the command did counts.
                say(f"burrow: {failure.title}: {failure.cause}")


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


def secret_of(given: str | None, what: str) -> str | None:
    """A secret from the arguments, or from standard input for `-`, which leaves it out of the process list.

    To be read before the services are opened: no signal can cancel a command that waits for standard input.
    """
    if given != "-":
        return given
    if sys.stdin is not None and sys.stdin.isatty():
        from getpass import getpass

        return getpass(f"{what}: ")
    return read_line()


def called_so(servers: Iterable[S], named: str) -> list[S]:
    """The servers of this id or title. One that is written exactly so goes before those in other case."""
    folded = named.casefold()
    found = [server for server in servers if named == server.id or folded == server.title.casefold()]
    return [server for server in found if named in {server.id, server.title}] or found


def server_called(servers: Iterable[S], named: str) -> S | None:
    """The only server of this id or title, None where there is none. Raises `Rejected`: titles need not be unique."""
    found = called_so(servers, named)
    if len(found) > 1:
        raise Rejected(f"Several servers are called {named}.", action="Name one by its id: burrow mcp servers")
    return found[0] if found else None
