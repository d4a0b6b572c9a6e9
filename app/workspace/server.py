"""The workspace as one ASGI application, and the uvicorn server that runs it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route

from app.workspace import runner
from app.workspace.accounts import users
from app.workspace.code_host import connecting as code_host_page
from app.workspace.code_host import views as code_host
from app.workspace.faults import switchboard
from app.workspace.mcp import endpoint
from app.workspace.oauth import authorize, metadata, registration, token
from app.workspace.oauth.wire import OAuthError, oauth_error_response
from app.workspace.runtime.context import Workspace, workspace_of
from app.workspace.store import connecting, proxy
from app.workspace.store import views as store
from app.workspace.tasks import command_views, log_views, run_files, run_views, staged_files, taking_up, task_views
from app.workspace.vendors import endpoints as vendors
from app.workspace.web.errors import ApiError, api_error_response, http_error_response, reply
from app.workspace.web.guard import RequestGuard, TrackedConnection, connections

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Generator
    from types import FrameType, ModuleType

    from starlette.requests import Request
    from starlette.responses import Response

MODULES: tuple[ModuleType, ...] = (
    metadata,
    registration,
    authorize,
    token,
    users,
    code_host,
    code_host_page,
    task_views,
    run_views,
    log_views,
    command_views,
    taking_up,
    run_files,
    staged_files,
    connecting,
    store,
    proxy,
    vendors,
    endpoint,
    switchboard,
)
"""Each has `routes()`, in matching order."""
STARTUP = (vendors.startup, endpoint.startup)
"""Called before the first request."""
AFTER_READY = (runner.after_ready, store.after_ready, endpoint.after_ready)
"""Started in the background once connections are accepted."""
# How long requests have to end by themselves when the workspace stops.
CUT_AFTER_SECONDS = 0.3
LINGER_SECONDS = 1.0


def build_app(workspace: Workspace) -> Starlette:
    """All routes, the error handlers, and the start and end of what runs beside requests."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        for prepare in STARTUP:
            prepare(workspace)
        try:
            yield
        finally:
            workspace.stopping.set()
            await workspace.stop_background()

    routes: list[BaseRoute] = [Route("/_workspace", _about, methods=["GET"])]
    for module in MODULES:
        routes += module.routes()
    app = Starlette(
        routes=routes,
        exception_handlers={
            ApiError: api_error_response,
            OAuthError: oauth_error_response,
            HTTPException: http_error_response,
        },
        lifespan=lifespan,
    )
    # A path without its slash is 404: a redirect would hide the mistake, and clients follow none with a token.
    app.router.redirect_slashes = False
    app.state.workspace = workspace
    return app


async def _about(request: Request) -> Response:
    settings = workspace_of(request).settings
    return reply({"name": "burrow-workspace", "version": settings.version, "mcp_url": settings.mcp_url})


class TimedConnection(TrackedConnection):
    """Closes a connection whose client takes too long to send a request: its header, or the body after it.

    Each has a total time, however steadily it trickles in. The pause between two requests is uvicorn's to end.
    """

    def __init__(self, *args: Any, header_seconds: float, body_seconds: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seconds = {Awaited.HEADER: header_seconds, Awaited.BODY: body_seconds}
        self._awaited: Awaited | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._served = False
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        self._served = True
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None)
        super().connection_lost(exc)

    def _watch(self) -> None:
        awaited = None
        if self.conn.their_state is h11.SEND_BODY:
            awaited = Awaited.BODY
        elif self.conn.their_state is h11.IDLE and (not self._served or self.conn.trailing_data[0]):
            awaited = Awaited.HEADER
        if awaited is not self._awaited:
            self._await(awaited)

    def _await(self, awaited: Awaited | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._awaited = awaited
        self._timer = None if awaited is None else self.loop.call_later(self._seconds[awaited], self._late)

    def _late(self) -> None:
        if self._awaited is Awaited.BODY and self.flow.read_paused:
            # The workspace does not read: it is not the client that is late.
            self._await(self._awaited)
            return
        if self.transport.is_closing() or (self._awaited is Awaited.BODY and self.cycle.response_started):
            self.transport.abort()
            return
        # What still trickles in is read and dropped for a moment. A socket that is closed before it was read is reset,
        # and the client would not see the answer.
        self._refused = True
        self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)


class Awaited(Enum):
    """The part of a request that a client still has to send."""

    HEADER = "header"
    BODY = "body"


class WorkspaceHttpServer(uvicorn.Server):
    """Calls `ready` once connections are accepted, and stops within a second even while streams are open."""

    def __init__(self, workspace: Workspace, ready: Callable[[], None]) -> None:
        self._workspace = workspace
        self._ready = ready
        settings = workspace.settings
        connection = partial(
            TimedConnection, header_seconds=settings.header_seconds, body_seconds=settings.body_seconds
        )
        super().__init__(
            uvicorn.Config(
                RequestGuard(build_app(workspace), workspace),
                loop="asyncio",
                # uvicorn only calls it.
                http=cast("type[asyncio.Protocol]", connection),
                ws="none",
                # Not "auto", which would take a failure at startup for an application without a lifespan.
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=60,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
            for work in AFTER_READY:
                self._workspace.background(work(self._workspace))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._workspace.stopping.set()
        asyncio.get_running_loop().call_later(CUT_AFTER_SECONDS, self._cut)
        await super().shutdown(sockets)

    def stop(self) -> None:
        """Begin to shut down. Call it in the loop's thread only."""
        self.should_exit = True

    def _cut(self) -> None:
        """Close what is still open: uvicorn would wait for streams without an end."""
        for transport in connections(self):
            transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """SIGTERM and SIGINT end the server; unlike uvicorn's own they are not raised again afterwards."""
        watched = [signal.SIGINT, signal.SIGTERM]
        if sys.platform == "win32":
            watched.append(signal.SIGBREAK)
        before = {number: signal.signal(number, self._on_signal) for number in watched}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.should_exit = True
