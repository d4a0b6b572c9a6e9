"""What `burrow status` says: who is signed in where, and with --verbose how the sign-in came to stand as it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.cli.signals import to_the_end
from app.cli.terminal import line, printable
from app.core.auth.status import CredentialState
from app.core.diagnostics import report
from app.core.diagnostics.snapshot import snapshot_of
from app.core.hosts import WORKSPACE, parse_host
from app.core.mcp.servers.definitions import HttpServer
from app.core.posthog.profile import posthog_profile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.auth.credential import Credential
    from app.core.backend import Backend
    from app.core.known_accounts import KnownAccount
    from app.core.services import Services

SHOWN_STEPS = 20
SHORT = ("host", "origin", "state", "account", "project", "store", "trouble", "reason")


def record_of(backend: Backend) -> dict[str, Any]:
    """The short status as JSON values."""
    everything = report.facts(snapshot_of(backend))
    short = {name: everything[name] for name in SHORT}
    return short if short["state"] != CredentialState.SIGNED_IN.value else short | {"reason": None}


def lines_of(backend: Backend) -> list[str]:
    """The short status as aligned lines."""
    return _aligned(record_of(backend))


async def full_record_of(backend: Backend, limit: int) -> dict[str, Any]:
    """Everything as JSON values, the newest of at most `limit` steps last."""
    steps = await backend.timeline.recent(limit)
    return report.facts(snapshot_of(backend)) | {"timeline": [report.record(step) for step in reversed(steps)]}


async def full_lines_of(backend: Backend, limit: int) -> list[str]:
    """Everything as aligned lines, the newest of at most `limit` steps last."""
    return report.text(snapshot_of(backend), await backend.timeline.recent(limit)).splitlines()


async def accounts(services: Services) -> list[dict[str, Any]]:
    """Every known account as JSON values, as its stored grant says; no host is asked."""
    return [await _account(services, known) for known in services.accounts.all() if known.host != WORKSPACE]


async def own_servers(services: Services) -> list[dict[str, Any]]:
    """The sign-ins of the user's own MCP servers as JSON values; no server is asked."""
    found = []
    for server in await services.own_servers.definitions():
        credential = services.own_servers.credential_of(server) if isinstance(server, HttpServer) else None
        if credential is not None:
            await credential.wait_restored()
            found.append({"server": server.title, "url": server.address, **_state(credential)})
    return found


def show(found: Iterable[dict[str, Any]]) -> None:
    """Several records as blocks of aligned lines, each after an empty line."""
    for record in found:
        line("")
        for each in _aligned(record):
            line(each)


async def _account(services: Services, known: KnownAccount) -> dict[str, Any]:
    host = parse_host(known.host)
    credential = services.credentials.acquire(posthog_profile(host, known.slot))
    try:
        await credential.restore()
        return {
            "host": host.key,
            "origin": host.origin,
            "account": known.name,
            "slot": known.slot or None,
            "project": f"{known.project.name} ({known.project.id})" if known.project else None,
            **_state(credential),
        }
    finally:
        await to_the_end(services.credentials.release(credential))


def _state(credential: Credential) -> dict[str, Any]:
    now = credential.status
    return {"state": now.state.value, "store": now.store, "trouble": now.trouble, "reason": now.reason}


def _aligned(record: dict[str, Any]) -> list[str]:
    return [f"{name:<8} {printable(str(value))}" for name, value in record.items() if value is not None]
