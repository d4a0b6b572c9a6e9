"""ProxyService: the local proxy of one process, from its start to its end.

Its requests are served by a thread with a loop of its own (`engine.py`). This part belongs to the loop of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from app.core.auth.registry import INSTALL_KEY
from app.core.auth.tokens import Fingerprints
from app.core.background import BackgroundTasks
from app.core.errors import BurrowError, StorageTrouble
from app.core.events import Event
from app.core.mcp.proxy.approvals import Approvals
from app.core.mcp.proxy.clients import ProxyClients
from app.core.mcp.proxy.handover import Role
from app.core.mcp.proxy.host import ProcessHost
from app.core.mcp.proxy.keeper import KEEP_SECONDS
from app.core.mcp.proxy.loop_hop import LoopGate, LoopThread
from app.core.mcp.proxy.port import PortState
from app.core.mcp.proxy.tool_rules import ToolRules
from app.core.mcp.proxy.under_way import UnderWay, works_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.busy import Work
    from app.core.mcp.proxy.approvals import ApprovalSettings
    from app.core.mcp.proxy.engine import ProxyEngine
    from app.core.mcp.proxy.host import SignInNotice
    from app.core.mcp.proxy.port import PortStatus
    from app.core.mcp.proxy.surroundings import ProxySurroundings

log = logging.getLogger(__name__)

PORT_SETTING, USUAL_PORT = "proxy_port", 41717
ENABLED_SETTING = "proxy_enabled"
FOLDER = "proxy"
# How long what is in flight may take when the process ends. A window is gone within a second; without one nobody waits,
# and on a busy machine answers take seconds.
DRAIN_SECONDS = {Role.WINDOW: 0.7, Role.HEADLESS: 3.0}
# How much longer than that stopping may take: closing Burrow never waits for a proxy that hangs.
STOP_SECONDS = 4.0
LOOK_SECONDS = 1.0


class ProxyState(Enum):
    """How the proxy stands in this process. The values are the words that people read.

    `STANDING_BY`: another process of Burrow serves. `PORT_TAKEN`: another program has the port, and this process serves
    on a temporary one.
    """

    OFF = "off"
    STARTING = "starting"
    SERVING = "serving"
    STANDING_BY = "standing by"
    PORT_TAKEN = "port taken"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProxyStatus:
    """`port` is the one that was chosen, `address` where clients are answered, empty while nobody answers.

    `trouble` says what is wrong and what to do, empty for nothing. While another process serves, `owner` is what that
    is and `pid` which one, as far as they are known.
    """

    state: ProxyState = ProxyState.OFF
    port: int = USUAL_PORT
    address: str = ""
    trouble: str = ""
    owner: Role | None = None
    pid: int = 0

    def address_of(self, server_id: str) -> str:
        """Where clients reach a server."""
        return f"{self.address or _address(self.port)}/mcp/{server_id}"


class ProxyService:
    """The proxy. `changed` emits each new status on the loop of the process, where everything here belongs."""

    def __init__(
        self,
        around: ProxySurroundings,
        role: Role,
        notice: SignInNotice,
        *,
        port: int | None = None,
        settings: ApprovalSettings | None = None,
        begins: bool = False,
    ) -> None:
        """`port` replaces the one of the settings for this run, `settings` those of calls that ask.

        With `begins` this process starts it soon by itself, unless it is switched off.
        """
        self.changed: Event[ProxyStatus] = Event()
        # Within a second after what `works` returns has changed.
        self.works_changed: Event[None] = Event()
        # How long the port is held for the next process when this one ends.
        self.keep_seconds = KEEP_SECONDS
        self.clients = ProxyClients(around.storage.proxy_clients)
        self._around = around
        self._role = role
        self._approval_settings = settings or around.storage.settings
        self._notice = notice
        self._port = port
        self.status = ProxyStatus(ProxyState.STARTING if begins and self.enabled else ProxyState.OFF, self.port)
        self._lock = asyncio.Lock()
        self._closed = False
        self._run: _Run | None = None

    @cached_property
    def rules(self) -> ToolRules:
        """The rules for the tools of all servers."""
        return ToolRules(self._around.servers, self.clients)

    @cached_property
    def approvals(self) -> Approvals:
        """The calls that wait for the user."""
        return Approvals(self._around.servers, self.clients, self.rules, self._approval_settings)

    @property
    def port(self) -> int:
        """The port that was chosen."""
        stored = self._around.storage.settings.get(PORT_SETTING)
        usable = isinstance(stored, int) and not isinstance(stored, bool) and 0 < stored < 65536
        return self._port or (stored if usable else USUAL_PORT)

    @property
    def enabled(self) -> bool:
        """Whether the window serves."""
        return self._around.storage.settings.get(ENABLED_SETTING, True) is not False

    @property
    def unused_seconds(self) -> float:
        """How long no client was connected to this process."""
        return 0.0 if self._run is None else self._run.engine.unused_seconds

    def works(self) -> tuple[Work, ...]:
        """What clients have under way here, for `Busy`."""
        if self._run is None:
            return ()
        engine = self._run.engine
        approvals = self.__dict__.get("approvals")
        questions = () if approvals is None else approvals.open
        asked = [UnderWay(each.client.name, each.server_id, each.tool) for each in questions]
        titles = {server.id: server.title for server in self._around.servers.listed}
        return works_of(engine.under_way, titles, asked, followed=engine.followed)

    async def start(self) -> None:
        """Begin to serve, or to stand by. Raises nothing: `status` says what went wrong."""
        async with self._lock:
            if self._run is None and not self._closed:
                await self._begin()

    async def stop(self, *, keep: bool = True) -> None:
        """Stop, in order. With `keep` the port is held for a moment where no other process stands by."""
        async with self._lock:
            await self._end(keep=keep)

    async def close(self) -> None:
        """The process ends. Safe to call again."""
        self._closed = True
        await self.stop()
        made = self.__dict__
        for part in ("approvals", "rules"):
            if part in made:
                await made[part].close()
        await self.clients.close()

    async def switch(self, on: bool) -> None:
        """Serve from now on, and at later starts of the window, or no longer. Raises `StorageTrouble`."""
        await self._around.storage.settings.set(ENABLED_SETTING, on)
        if on:
            await self.start()
        else:
            await self.stop(keep=False)

    async def use_port(self, port: int) -> None:
        """Serve on this port from now on. Clients that were set up have the former address. Raises `StorageTrouble`."""
        await self._around.storage.settings.set(PORT_SETTING, port)
        self._port = None
        await self.retry()

    async def retry(self) -> None:
        """Try again to serve on the chosen port."""
        async with self._lock:
            await self._end(keep=False)
            if not self._closed:
                await self._begin()

    @property
    def _used(self) -> bool:
        """Whether a client has a key, and so the address."""
        return any(known.revoked_at is None for known in self.clients.clients)

    async def _begin(self) -> None:
        self._tell(ProxyStatus(ProxyState.STARTING, self.port))
        try:
            await self.clients.start()
            self._run = await _Run.begin(self)
        except BurrowError as failure:
            self._tell(ProxyStatus(ProxyState.FAILED, self.port, trouble=f"{failure.cause} {failure.advice}"))
        except Exception as failure:
            log.exception("the proxy did not start")
            words = f"The proxy could not start ({type(failure).__name__})."
            self._tell(ProxyStatus(ProxyState.FAILED, self.port, trouble=words))

    async def _end(self, *, keep: bool) -> None:
        run, self._run = self._run, None
        if run is not None:
            # Nobody waits where no client has a key.
            await run.end(keep=keep and self._used)
        self._tell(ProxyStatus(ProxyState.OFF, self.port))

    async def keep_port(self, number: int) -> bool:
        """Another port was found in place of a taken one: keep it if no client has the former address yet."""
        if self._port is not None or self._used:
            return False
        await self._around.storage.settings.set(PORT_SETTING, number)
        return True

    def port_changed(self, run: _Run, status: PortStatus) -> None:
        """The port of a run has another status."""
        # What was said before it ended may arrive after that.
        if not run.over:
            self._tell(_status(status, self.port))

    def _tell(self, status: ProxyStatus) -> None:
        if status != self.status:
            self.status = status
            self.changed.emit(status)


class _Run:
    """The proxy between one start and the following end."""

    def __init__(self, service: ProxyService, gate: LoopGate, thread: LoopThread, host: ProcessHost) -> None:
        self.engine: ProxyEngine
        # Whether it has begun to end.
        self.over = False
        self._service = service
        self._gate = gate
        self._thread = thread
        self._host = host
        self._there: LoopGate
        self._subscriptions: list[Callable[[], None]] = []
        self._background = BackgroundTasks()

    @staticmethod
    async def begin(service: ProxyService) -> _Run:
        """Start thread, engine and port. Raises what keeps it from starting, with nothing left running."""
        around = service._around
        gate = LoopGate(asyncio.get_running_loop())
        thread = LoopThread("burrow-proxy")
        host = ProcessHost(around, gate, service.clients, service.rules, service.approvals, service._notice)
        run = _Run(service, gate, thread, host)
        try:
            run._there = await thread.start()
            there, engine = run._there, await run._there.run(run._engine)
            run.engine = engine
            run._follow(service, there, engine)
        except BaseException:
            await run._leave()
            raise
        return run

    def _follow(self, service: ProxyService, there: LoopGate, engine: ProxyEngine) -> None:
        def narrowed(_nothing: None) -> None:
            self._background.start(there.run(engine.end_refused))

        self._subscriptions = [
            service.rules.changed.subscribe(lambda change: there.post(engine.tools_changed, change)),
            service.clients.narrowed.subscribe(narrowed),
        ]
        self._background.start(self._look(service.clients, engine))

    async def _look(self, clients: ProxyClients, engine: ProxyEngine) -> None:
        """While clients are connected, notice within a second what they do, and that another process took access from
        one."""
        before: tuple[UnderWay, ...] = ()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = engine.under_way
            if now != before:
                before = now
                self._service.works_changed.emit(None)
            if engine.busy:
                with contextlib.suppress(StorageTrouble):
                    await clients.look()

    async def end(self, *, keep: bool) -> None:
        """Stop it. Raises nothing, and does not wait for what hangs."""
        self.over = True
        try:
            drain = DRAIN_SECONDS[self._service._role]
            async with asyncio.timeout(STOP_SECONDS + drain):
                seconds = self._service.keep_seconds
                await self._there.run(lambda: self.engine.close(drain=drain, keep=keep, keep_seconds=seconds))
        except (TimeoutError, BurrowError):
            log.warning("the proxy did not end in time")
        await self._leave()

    async def _leave(self) -> None:
        self.over = True
        for unsubscribe in self._subscriptions:
            unsubscribe()
        await self._background.close()
        self._gate.close()
        await self._host.close()
        await self._thread.stop()

    async def _engine(self) -> ProxyEngine:
        """On the proxy's own loop."""
        # Loaded there: the window is on the screen, and does not need it.
        from app.core.mcp.proxy.engine import ProxyEngine

        service, gate = self._service, self._gate
        around = service._around
        install_key = around.storage.settings.get(INSTALL_KEY)
        fingerprint = Fingerprints(install_key.encode() if isinstance(install_key, str) else None, FOLDER)
        engine = ProxyEngine(self._host, around.storage.proxy_sessions, fingerprint)

        async def choose(number: int) -> bool:
            return await gate.run(lambda: service.keep_port(number))

        engine.serve(
            around.folder / FOLDER,
            service._role,
            service.port,
            choose=choose,
            changed=lambda status: gate.post(service.port_changed, self, status),
        )
        return engine


def _other_port(served: int, chosen: int) -> str:
    return (
        f"Another process of Burrow was started for port {served}, so clients are answered there and not on the chosen "
        f"port {chosen}. End that process, then try again."
    )


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _status(port: PortStatus, chosen: int) -> ProxyStatus:
    """The status of the proxy for that of its port."""
    status = ProxyStatus(_STATES[port.state], chosen, _address(port.number) if port.number else "", port.trouble)
    if port.state is PortState.ELSEWHERE:
        status = replace(status, owner=port.owner, pid=port.pid)
    if port.state is PortState.FAILED or not port.number:
        return status
    if not port.taken:
        return status if port.number == chosen else replace(status, trouble=_other_port(port.number, chosen))
    words = (
        f"Port {port.taken} is taken by another program. Clients are answered on port {port.number} until Burrow is "
        "started again. End that program and start Burrow again, or choose another port and set the clients up again."
    )
    taken = port.state is PortState.OWNED
    return replace(status, state=ProxyState.PORT_TAKEN if taken else status.state, trouble=words)


_STATES = {
    PortState.STARTING: ProxyState.STARTING,
    PortState.OWNED: ProxyState.SERVING,
    PortState.ELSEWHERE: ProxyState.STANDING_BY,
    PortState.FAILED: ProxyState.FAILED,
}
