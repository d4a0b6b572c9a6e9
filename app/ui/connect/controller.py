"""Reads what the place shows, and changes it, through the door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from app.ui.connect.facts import ProxyFacts, ProxyPhase

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from app.core.errors import BurrowError
    from app.core.mcp.proxy.parts import ToolRule
    from app.core.mcp.tools import ToolInfo
    from app.ui.bridge import Bridge, Job
    from app.ui.connect.facts import ClientFacts, ConnectDoor, ProgramFacts, ProxiedServer

# A busy client is counted with each call.
SETTLE_MS = 100


class ConnectController(QObject):
    """`changed` when anything below has changed, `created(client id)` when a client was added, `key_changed(client id)`
    when its key became known or hidden, `tools_loaded(server id)`, `failed(words, BurrowError)` when something that was
    asked for failed.

    Keys are in memory only, and only until `hide_keys`.
    """

    changed = Signal()
    created = Signal(str)
    key_changed = Signal(str)
    tools_loaded = Signal(str)
    programs_changed = Signal()
    failed = Signal(str, object)

    def __init__(self, door: ConnectDoor, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.door, self.bridge = door, bridge
        self.proxy = ProxyFacts()
        self.servers: tuple[ProxiedServer, ...] = ()
        self.clients: tuple[ClientFacts, ...] = ()
        self.programs: tuple[ProgramFacts, ...] = ()
        self.tools: dict[str, tuple[ToolInfo, ...]] = {}
        self.tool_errors: dict[str, BurrowError] = {}
        self.loading = False
        self.switching = False
        self._keys: dict[str, str] = {}
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._settle.timeout.connect(self.read)
        bridge.listen(self, door.changed, lambda _nothing: self._announced())
        bridge.listen(self, door.tools_changed, self._tools_changed)
        self._take()

    def load(self) -> None:
        """Look at what other processes changed, and at which programs are installed."""
        self.loading = True
        self.changed.emit()
        self._run(self.door.load(), lambda _: self._loaded(), self.tr("The clients could not be read"), "load")
        self.bridge.spawn(self, self.door.programs(), done=self._programs_found, failed=_ignore, key="programs")

    def watch(self, watching: bool) -> None:
        """While the place is in view, follow what other processes change."""
        if watching:
            self.bridge.spawn(self, self.door.watch(), failed=_ignore, key="watch")
        else:
            self.bridge.cancel(self, "watch")

    def read(self) -> None:
        """Show what the door says now."""
        self._take()
        self.changed.emit()

    def client(self, client_id: str) -> ClientFacts | None:
        """A client by its id."""
        return next((each for each in self.clients if each.id == client_id), None)

    def server(self, server_id: str) -> ProxiedServer | None:
        """A server by its id."""
        return next((each for each in self.servers if each.id == server_id), None)

    def program(self, program_id: str) -> ProgramFacts | None:
        """A program by its id."""
        return next((each for each in self.programs if each.id == program_id), None)

    def key_of(self, client_id: str) -> str | None:
        """The key of a client, while it is shown."""
        return self._keys.get(client_id)

    def hide_keys(self) -> None:
        """Forget the keys that were shown."""
        shown, self._keys = self._keys, {}
        for client_id in shown:
            self.key_changed.emit(client_id)

    def set_on(self, on: bool) -> None:
        """Switch the proxy on or off."""
        words = self.tr("The proxy could not be switched on") if on else self.tr("The proxy could not be switched off")
        self._switch(self.door.set_on(on), words)

    def set_port(self, port: int) -> None:
        """Serve on another port."""
        self._switch(self.door.set_port(port), self.tr("The port could not be changed"))

    def retry(self) -> None:
        """Try again to serve on the chosen port."""
        self._switch(self.door.retry(), self.tr("The proxy could not start"))

    def create(self, name: str, program: str, servers: frozenset[str] | None) -> Job | None:
        """Add a client."""

        def made(found: tuple[str, str]) -> None:
            client_id, key = found
            self._keys[client_id] = key
            self.read()
            self.created.emit(client_id)

        return self._run(self.door.create(name, program, servers), made, self.tr("The client could not be added"), "")

    def renew_key(self, client_id: str) -> None:
        """Make a new key, which is shown."""

        def made(key: str) -> None:
            self._keys[client_id] = key
            self.read()
            self.key_changed.emit(client_id)

        self._run(self.door.renew_key(client_id), made, self.tr("No new key could be made"), "")

    def rename(self, client_id: str, name: str) -> None:
        """Call a client something else."""
        self._change(self.door.rename(client_id, name), self.tr("The client could not be renamed"))

    def revoke(self, client_id: str) -> None:
        """Refuse the client's key from now on."""
        self._keys.pop(client_id, None)
        self._change(self.door.revoke(client_id), self.tr("The client could not be revoked"))

    def choose_servers(self, client_id: str, servers: frozenset[str] | None) -> None:
        """Set which servers a client may use."""
        self._change(
            self.door.choose_servers(client_id, servers), self.tr("The servers of the client could not be changed")
        )

    def set_rules(self, client_id: str, server_id: str, rules: Sequence[tuple[str, ToolRule | None]]) -> None:
        """Set the client's rules for tools."""
        self._change(
            self.door.set_rules(client_id, server_id, rules), self.tr("The rules of the client could not be changed")
        )

    def load_tools(self, server_id: str, *, refresh: bool = False) -> None:
        """Load the tools of a server; `tools_loaded` follows in any case."""

        def loaded(tools: tuple[ToolInfo, ...]) -> None:
            self.tools[server_id] = tools
            self.tool_errors.pop(server_id, None)
            self.tools_loaded.emit(server_id)

        def refused(error: BurrowError) -> None:
            self.tool_errors[server_id] = error
            self.tools_loaded.emit(server_id)

        self.bridge.spawn(
            self,
            self.door.tools(server_id, refresh=refresh),
            done=loaded,
            failed=refused,
            key=f"tools {server_id}",
        )

    def forget_tools(self) -> None:
        """Another account is shown: its servers have other tools."""
        self.tools.clear()
        self.tool_errors.clear()

    def _tools_changed(self, server_id: str) -> None:
        # Only what is shown somewhere. The services have it already.
        if server_id in self.tools:
            self.load_tools(server_id)

    def _take(self) -> None:
        before = {each.id: each.server.state for each in self.servers}
        self.proxy, self.servers, self.clients = self.door.proxy(), self.door.servers(), self.door.clients()
        for each in self.servers:
            # A server that can be used again is asked again.
            if before.get(each.id) is not each.server.state:
                self.tool_errors.pop(each.id, None)
        if self.switching and self.proxy.phase is not ProxyPhase.STARTING:
            self.switching = False

    def _announced(self) -> None:
        # Not started again: what changes all the time is shown all the same.
        if not self._settle.isActive():
            self._settle.start()

    def _loaded(self) -> None:
        self.loading = False
        self.read()

    def _programs_found(self, programs: tuple[ProgramFacts, ...]) -> None:
        self.programs = programs
        self.programs_changed.emit()

    def _switch(self, work: Coroutine[Any, Any, None], words: str) -> None:
        self.switching = True
        self.changed.emit()
        self._run(work, lambda _: self._switched(), words, "switch")

    def _switched(self) -> None:
        self.switching = False
        self.read()

    def _change(self, work: Coroutine[Any, Any, None], words: str) -> None:
        self._run(work, lambda _: self.read(), words, "")

    def _run(self, work: Coroutine[Any, Any, Any], done: Callable[[Any], object], words: str, key: str) -> Job | None:
        def failed(error: BurrowError) -> None:
            self.loading = self.switching = False
            self.read()
            self.failed.emit(words, error)

        # A change goes on when another one of the same kind follows it.
        return self.bridge.spawn(self, work, done=done, failed=failed, key=key or None)


def _ignore(_error: BurrowError) -> None:
    """Without it no program is marked as installed."""
