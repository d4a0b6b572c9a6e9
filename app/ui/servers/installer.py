"""Installs an available server or one by its address, or connects one again; the bar shows the progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from app.core.errors import OutcomeUnknown
from app.ui.servers.connect_flow import ConnectStage

if TYPE_CHECKING:
    from app.core.mcp.servers.server import Server
    from app.ui.servers.connect_flow import ServerConnectFlow
    from app.ui.servers.controller import ServerController
    from app.ui.servers.pages import ServerPages


class ServerInstaller(QObject):
    """Connects the two pages of new servers to `ServerConnectFlow`.

    `done(installation id, title)` when a server is connected. A failure is shown in the form of a server by its address
    while that is in view, else in the bar.
    """

    done = Signal(str, str)

    def __init__(self, controller: ServerController, flow: ServerConnectFlow, pages: ServerPages) -> None:
        super().__init__(pages)
        self._controller, self._flow, self._pages = controller, flow, pages
        self._banner, self._offer, self._form = pages.banner, pages.template, pages.custom
        self._offer.connect_wanted.connect(self._install_offered)
        self._form.add_wanted.connect(self._install_by_address)
        flow.changed.connect(self._show)
        flow.connected.connect(self._connected)

    def reconnect(self, server: Server) -> None:
        """Sign in to an installed server again."""
        backend, kept = self._controller.backend, server.installation
        if backend is None or kept is None:
            return
        needed = kept.pending_oauth or kept.needs_reauth
        self._flow.begin(
            backend,
            server.title,
            backend.store.authorize(kept.id),
            lambda each: each.id == kept.id and (needed or each.updated_at != kept.updated_at),
        )

    def _install_offered(self, api_key: str) -> None:
        template, backend = self._offer.template, self._controller.backend
        if template is None or backend is None:
            return
        before = {each.id for each in self._controller.installations()}
        self._flow.begin(
            backend,
            template.name or template.url,
            backend.store.install(template, api_key or None),
            lambda each: each.id not in before and (each.template_id == template.id or each.url == template.url),
        )

    def _install_by_address(self) -> None:
        form, backend = self._form, self._controller.backend
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

    def _connected(self, installation_id: str) -> None:
        if self._pages.shows_custom:
            self._form.reset()
        self.done.emit(installation_id, self._flow.title)

    def _show(self) -> None:
        flow = self._flow
        busy = flow.stage in {ConnectStage.ASKING, ConnectStage.WAITING}
        self._offer.set_busy(busy)
        self._form.add_button.setEnabled(not busy)
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
                self._form.show_failure(flow.error)
                return
            unknown = isinstance(flow.error, OutcomeUnknown)
            said = self.tr("{0} may have been installed. {1}") if unknown else self.tr("{0} was not connected. {1}")
            self._banner.show_message(
                said.format(flow.title, flow.error.facts.detail or flow.error.cause),
                "bad",
                secondary=[(self.tr("Close"), flow.cancel)],
            )
        else:
            self._banner.clear()
