"""Installs an available server, adds one by its address, or connects one again; the bar shows the progress."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from app.core.auth.profile import ClientIdentity
from app.core.errors import Facts, OutcomeUnknown, Rejected
from app.core.mcp.servers.definitions import HttpServer, SseServer
from app.core.mcp.servers.typed import is_same_process, typed_process
from app.ui.servers.connect_flow import ConnectStage
from app.ui.servers.kinds import installation_of
from app.ui.servers.wording import server_name, shown_name
from app.ui.widgets.waiting import CANCEL_AFTER, WaitClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from app.core.errors import BurrowError
    from app.core.mcp.servers.definitions import OwnServer
    from app.core.mcp.servers.own_source import OwnServers
    from app.core.mcp.servers.server import Server
    from app.ui.bridge import Bridge
    from app.ui.servers.connect_flow import ServerConnectFlow
    from app.ui.servers.controller import ServerController
    from app.ui.servers.pages import ServerPages
    from app.ui.servers.process_fields import ProcessFields


class ServerInstaller(QObject):
    """Connects the two pages of new servers to `ServerConnectFlow`.

    `done(server id, title)` when a server is connected. A failure is shown in the form of a server by its address
    while that is in view, else in the bar.
    """

    done = Signal(str, str)

    added = Signal(str)
    """One of the user's own servers was added; it may ask for a sign-in when it is contacted."""

    def __init__(
        self,
        own: Callable[[], OwnServers],
        bridge: Bridge,
        controller: ServerController,
        flow: ServerConnectFlow,
        pages: ServerPages,
    ) -> None:
        super().__init__(pages)
        self._own, self._bridge = own, bridge
        self._controller, self._flow, self._pages = controller, flow, pages
        self._banner, self._template_page, self._custom_page = pages.banner, pages.template, pages.custom
        self._template_page.connect_wanted.connect(self._install_offered)
        self._custom_page.add_wanted.connect(self._add_by_address)
        flow.changed.connect(self._show)
        self.wait = WaitClock(self)
        self.wait.ticked.connect(self._show_asking)
        flow.connected.connect(self._connected)

    def reconnect(self, server: Server) -> None:
        """Sign in to a server again."""
        if isinstance(server.definition, HttpServer):
            self._flow.sign_in(server.id, server_name(server), partial(self._own().begin_sign_in, server.id))
            return
        backend, kept = self._controller.backend, installation_of(server)
        if backend is None or kept is None:
            return
        needed = kept.pending_oauth or kept.needs_reauth
        # Where no sign-in was needed, nothing but the time of its change says that the new one is complete.
        self._flow.begin(
            backend,
            server_name(server),
            backend.store.authorize(kept.id),
            lambda each: each.id == kept.id and (needed or each.updated_at != kept.updated_at),
        )

    def _install_offered(self, api_key: str) -> None:
        template, backend = self._template_page.template, self._controller.backend
        if template is None or backend is None:
            return
        # With OAuth the answer is an address, not an id: the new installation is one that was not there before.
        before = {each.id for each in self._controller.installations()}
        self._flow.begin(
            backend,
            shown_name(template.name or template.url),
            backend.store.install(template, api_key or None),
            lambda each: each.id not in before and (each.template_id == template.id or each.url == template.url),
        )

    def browser_for(self, server: Server) -> Callable[[Sequence[str]], Awaitable[None]]:
        """What asks the user for more permissions at one of their own servers; it takes the scopes."""

        async def ask(scopes: Sequence[str]) -> None:
            await self._flow.allow(server_name(server), partial(self._own().begin_sign_in, server.id, scopes=scopes))

        return ask

    def _add_by_address(self) -> None:
        if self._custom_page.on_this_machine:
            self._add_own()
        else:
            self._install_by_address()

    def _add_own(self) -> None:
        form, own = self._custom_page, self._own()
        oauth = form.auth.value() == "oauth"
        client = ClientIdentity(form.client_id.text, form.client_secret.text or None) if form.client_id.text else None
        key = form.key.text
        title, description = form.name.text, form.description.text

        async def by_address(kind: type[HttpServer], url: str) -> OwnServer:
            # Reads the settings again: another process may have added this server.
            await own.definitions()
            if own.find(url) is not None:
                words = "You already added the server at this address."
                raise Rejected(words, Facts(attr="url"), action="Choose it from the list.")
            server = kind("", title, url, description=description)
            kept = await own.add(server)
            if not oauth:
                await own.use_key(kept.id, key)
            return replace(server, id=kept.id)

        async def by_command(fields: ProcessFields) -> OwnServer:
            command, folder, lines = fields.command.raw, fields.folder.text, fields.environment.raw.split("\n")
            shared = fields.shared.isChecked()
            server = await asyncio.to_thread(
                typed_process,
                title,
                command,
                folder=folder,
                environment=lines,
                shared=shared,
                description=description,
            )
            await own.definitions()
            if any(is_same_process(server, each) for each in own.servers):
                words = "You already added the server with this command."
                raise Rejected(words, Facts(attr="command"), action="Choose it from the list.")
            return await own.add(server)

        if form.is_command:
            work = by_command(form.process)
        else:
            work = by_address(SseServer if form.reached.value() == SseServer.kind else HttpServer, form.url.text)

        def done(kept: OwnServer) -> None:
            self._custom_page.add_button.setEnabled(True)
            self._custom_page.reset()
            self.added.emit(kept.id)
            if isinstance(kept, HttpServer) and oauth and client is not None:
                self._flow.sign_in(kept.id, shown_name(kept.title), partial(own.begin_sign_in, kept.id, client=client))

        def failed(error: BurrowError) -> None:
            self._custom_page.add_button.setEnabled(True)
            self._custom_page.show_failure(error)

        self._custom_page.add_button.setEnabled(False)
        self._bridge.spawn(self, work, done=done, failed=failed, key="add")

    def _install_by_address(self) -> None:
        form, backend = self._custom_page, self._controller.backend
        if backend is None:
            return
        url, oauth = form.url.text, form.auth.value() == "oauth"
        work = backend.store.install_custom(
            form.name.text,
            url,
            auth_type="oauth" if oauth else "api_key",
            api_key=None if oauth else form.key.text,
            description=form.description.text or None,
            client_id=(form.client_id.text or None) if oauth else None,
            client_secret=(form.client_secret.text or None) if oauth else None,
        )
        self._flow.begin(backend, form.name.text, work, lambda each: each.url.rstrip("/") == url.rstrip("/"))

    def _connected(self, server_id: str) -> None:
        if self._pages.shows_custom:
            self._custom_page.reset()
        self.done.emit(server_id, self._flow.title)

    def _show_asking(self) -> None:
        """The host has not answered yet."""
        words = self.tr("Connecting to {0}… {1} s").format(self._flow.title, self.wait.seconds)
        cancel = [(self.tr("Cancel"), self._flow.cancel)] if self.wait.seconds >= CANCEL_AFTER else []
        self._banner.show_message(words, "info", secondary=cancel, glyph="clock")

    def _show(self) -> None:
        flow = self._flow
        busy = flow.stage in {ConnectStage.ASKING, ConnectStage.WAITING}
        self._template_page.set_busy(busy)
        self._custom_page.add_button.setEnabled(not busy)
        self.wait.set_since(monotonic() if flow.stage is ConnectStage.ASKING else None)
        if flow.stage is ConnectStage.WAITING:
            self._banner.show_message(
                self.tr("Waiting for your browser to connect {0}…").format(flow.title),
                "info",
                secondary=[
                    (self.tr("Open again"), flow.open_again),
                    (self.tr("Copy link"), flow.copy_link),
                    (self.tr("Cancel"), flow.cancel),
                ],
                glyph="external",
            )
        elif flow.stage is ConnectStage.FAILED and flow.error is not None:
            if self._pages.shows_custom:
                self._banner.clear()
                self._custom_page.show_failure(flow.error)
                return
            unknown = isinstance(flow.error, OutcomeUnknown)
            # A lost answer is not a refusal: the store may have installed it.
            said = self.tr("{0} may have been installed. {1}") if unknown else self.tr("{0} was not connected. {1}")
            self._banner.show_message(
                said.format(flow.title, flow.error.facts.detail or flow.error.cause),
                "bad",
                secondary=[(self.tr("Close"), flow.cancel)],
            )
        else:
            self._banner.clear()
