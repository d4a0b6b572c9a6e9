"""`burrow login`, `logout` and `status`: accounts of hosts, and the sign-ins of the user's own MCP servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.cli import status
from app.cli.common import backend_of, connect, secret_of, services_of
from app.cli.pasted import can_paste, pasted_lines
from app.cli.terminal import data, line, say
from app.core.auth.profile import ClientIdentity
from app.core.auth.vault.base import StoreKind
from app.core.errors import BurrowError, NotFound, Rejected, SignInNeeded, VaultTrouble

if TYPE_CHECKING:
    import argparse
    from collections.abc import Coroutine

    from app.core.auth.credential import Credential
    from app.core.auth.oauth.sign_in import BrowserSignIn
    from app.core.backend import Backend
    from app.core.hosts import Host
    from app.core.services import Services


# For a browser on another computer, which cannot reach the listener here.
ELSEWHERE = """\
If the browser is on another computer, it ends at an address that it cannot open (127.0.0.1): paste that address here.
Or forward the port before you open the page: ssh -L {port}:127.0.0.1:{port} THIS-COMPUTER
Or sign in without a browser: burrow login --token -"""


async def login(options: argparse.Namespace) -> int:
    """Sign in to a host, or with `--url` to an MCP server of the user's own."""
    options.token = secret_of(options.token, "API key")
    options.client_secret = secret_of(options.client_secret, "Client secret")
    async with services_of(options) as services:
        if options.url is not None:
            return await _login_to_server(services, options)
        named = options.host or services.remembered_host() or "us"
        if options.client_id:
            await services.use_client_id(named, options.client_id)
        host = await services.resolve(named)
        slot = _slot_for(services, host, options.account)
        # Neither restored nor remembered yet: a login that fails must not change which account commands are for.
        backend = await services.connect(host, slot=slot, restore=False, remember=False)
        if host.embedded:
            await backend.start()
        else:
            await backend.credential.restore()
            store = options.store or (services.usual_store() if slot else None)
            if store:
                await backend.credential.choose_store(store)
            if options.token is not None:
                await backend.sign_in_with_key(options.token)
            else:
                browser = await backend.credential.begin_sign_in(open_browser=not options.no_browser)
                await _show_address(browser, options)
                await _finish(browser.finish(), browser)
        await _require_stored(backend.credential, expected=host.embedded)
        try:
            await backend.ready()
        except SignInNeeded:
            # A refused key is not worth keeping.
            await backend.credential.sign_out()
            raise
        except BurrowError:
            # The sign-in is stored: the next command has to be for it too.
            await services.remember(host, backend.credential.key.slot)
            raise
        await services.remember(host, backend.credential.key.slot)
        assert backend.account is not None
        name = backend.account.email or backend.account.short_name
        data(status.record_of(backend)) if options.json else say(f"Signed in to {host.name} as {name}.")
    return 0


async def logout(options: argparse.Namespace) -> int:
    """Sign out of an account, or with `--url` of an MCP server of the user's own."""
    if options.url is not None:
        async with services_of(options) as services:
            server = services.own_servers.find(options.url, options.account or "")
            if server is None:
                raise NotFound(f"There is no server of your own at {options.url}.", action="List them: burrow status")
            await services.own_servers.definitions()
            left = await services.own_servers.sign_out(server.id)
            say(f"Signed out of {server.title}.")
            if left is not None:
                say(left)
        return 0
    async with backend_of(options, ready=False) as backend:
        ended = await backend.credential.sign_out()
        data(status.record_of(backend)) if options.json else say(f"Signed out of {backend.host.name}.")
        if not ended:
            say(backend.credential.by_hand)
    return 0


async def show_status(options: argparse.Namespace) -> int:
    """Tell who is signed in where: the account that a command would be for, whose exit code counts, then the others."""
    async with services_of(options) as services:
        everybody = options.account is None and options.host is None
        failure: BurrowError | None = None
        current: dict[str, Any] = {}
        words: list[str] = []
        try:
            backend = await connect(services, options)
        except SignInNeeded as caught:
            failure = caught
        else:
            failure = await _failure_of(backend)
            if options.verbose:
                current = await status.full_record_of(backend, options.limit)
                words = await status.full_lines_of(backend, options.limit)
            else:
                current, words = status.record_of(backend), status.lines_of(backend)
            await services.disconnect()
        accounts = await status.accounts(services) if everybody else []
        servers = await status.own_servers(services) if everybody else []
        # With nothing else to show, the failure is the answer.
        if not current and not servers and failure is not None:
            raise failure
        if options.json:
            data(current | ({"accounts": accounts, "servers": servers} if everybody else {}))
        else:
            for each in words:
                line(each)
            others = [one for one in accounts if _account_of(one) != _account_of(current)]
            status.show([*others, *servers])
        if failure is None or not current:
            return 0
        if not options.json:
            say(f"burrow: {failure.title}: {failure.cause}")
        return failure.exit_code


async def _failure_of(backend: Backend) -> BurrowError | None:
    try:
        await backend.ready()
    except BurrowError as failure:
        return failure
    return None


def _account_of(record: dict[str, Any]) -> tuple[object, object]:
    return record.get("host"), record.get("account")


async def _login_to_server(services: Services, options: argparse.Namespace) -> int:
    from app.core.mcp.servers.definitions import HttpServer, SseServer

    if options.host is not None:
        raise Rejected("--url is for an MCP server, --host is for a host.", action="Give one of them.")
    own, slot = services.own_servers, options.account or ""
    await own.definitions()
    server = own.find(options.url, slot)
    kind = SseServer if options.transport == "sse" else HttpServer
    kept = server or await own.add(kind("", options.title or _title_of(options.url), options.url))
    client = None
    if options.client_id:
        client = ClientIdentity(options.client_id, options.client_secret)
    store = StoreKind(options.store) if options.store else None
    if options.token is not None:
        await own.use_key(kept.id, options.token, slot=slot, store=store)
        credential = own.credential_of(next(server for server in own.servers if server.id == kept.id))
        assert credential is not None
        await _require_stored(credential, expected=False)
        say(f"Burrow sends this key to {kept.title} from now on.")
        return 0
    attempt = await own.begin_sign_in(
        kept.id, client=client, slot=slot, store=store, open_browser=not options.no_browser
    )
    await _show_address(attempt.browser, options)
    await _finish(attempt.finish(), attempt.browser)
    await _require_stored(attempt.credential, expected=False)
    say(f"Signed in to {kept.title}.")
    return 0


def _slot_for(services: Services, host: Host, named: str | None) -> str | None:
    """The slot of the account that `--account` names; a name that no account has is the slot of a new one."""
    if named is None:
        return None
    try:
        return services.accounts.called(named, host).slot
    except NotFound:
        return named


async def _show_address(browser: BrowserSignIn, options: argparse.Namespace) -> None:
    waiting = "Waiting for your browser. If it does not open, visit:"
    say("Open this address to sign in:" if options.no_browser else waiting)
    say(browser.url)
    if options.no_browser:
        code = await browser.page_code()
        if code is not None:
            say(f"The page asks for this code: {code}")
        if can_paste():
            say(ELSEWHERE.format(port=browser.port))
    browser.url_changed.subscribe(lambda address: say(f"Burrow had to register again. The new address:\n{address}"))


async def _finish(finishing: Coroutine[Any, Any, None], browser: BrowserSignIn) -> None:
    """Wait for the browser, or for the address that it was sent back to, whichever comes first."""

    def take(line: str) -> None:
        try:
            browser.take(line)
        except Rejected as refusal:
            # Without the line itself, which may hold an authorization code.
            say(f"burrow: {refusal.cause} {refusal.advice}")

    with pasted_lines(take):
        await finishing


async def _require_stored(credential: Credential, *, expected: bool) -> None:
    """Raise `VaultTrouble`, and sign out again, if the sign-in would be lost with this process.

    `expected`: it is never stored for this host. Memory that the user chose is expected too.
    """
    now = credential.status
    if now.persistent or expected or now.store == StoreKind.MEMORY.value:
        return
    cause = now.reason or "The sign-in could not be stored."
    await credential.sign_out()
    raise VaultTrouble(cause, action="Unlock the keyring, or choose where to keep it: --store file")


def _title_of(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or url
