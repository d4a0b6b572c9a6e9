"""ChoosingSender: sends each request directly or through the proxy that the user or the environment names for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from app.core.auth.http.proxies import ProxySettings
from app.core.errors import ProxyUnusable
from app.core.mcp.proxy.http.sender import CONNECT_SECONDS, DirectSender, origin_of
from app.core.mcp.proxy.parts import SendFailure
from app.core.preferences import preferences

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

    from app.core.mcp.proxy.http.sender import ServerOrigin
    from app.core.mcp.proxy.http.through import ThroughProxy
    from app.core.mcp.proxy.parts import Headers, UpstreamResponse


class ChoosingSender:
    """Implements `parts.Sender`. What goes to this machine never goes through a proxy. Used on one loop."""

    def __init__(
        self,
        tls: Callable[[], ssl.SSLContext],
        proxies: ProxySettings | None = None,
        *,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        """`proxies` are by default those that the user chose, also when the choice changes."""
        self._tls = tls
        self._connect_seconds = connect_seconds
        self._direct = DirectSender(tls, connect_seconds=connect_seconds)
        self._fixed = proxies
        self._choice = preferences().proxy
        self._proxies = ProxySettings.chosen(self._choice) if proxies is None else proxies
        # The URL of the proxy of each origin, None for none.
        self._routes: dict[ServerOrigin, str | None] = {}
        # By the proxy's URL. Those of a former choice stay open until the end: answers may still be read from them.
        self._through: dict[str, asyncio.Task[ThroughProxy]] = {}

    def send(self, method: str, url: str, headers: Headers, body: bytes) -> Coroutine[Any, Any, UpstreamResponse]:
        """Send a request and wait for the head of its answer. Raises `SendFailure`."""
        if self._fixed is None and self._choice is not preferences().proxy:
            self._choice = preferences().proxy
            self._proxies = ProxySettings.chosen(self._choice)
            self._routes.clear()
        proxy = self._proxy_of(url)
        if proxy is None:
            return self._direct.send(method, url, headers, body)
        return self._send_through(proxy, method, url, headers, body)

    async def _send_through(self, proxy: str, method: str, url: str, headers: Headers, body: bytes) -> UpstreamResponse:
        opening = self._through.get(proxy)
        if opening is None:
            opening = self._through[proxy] = asyncio.get_running_loop().create_task(self._open(proxy))
        through = await asyncio.shield(opening)
        return await through.send(method, url, headers, body)

    async def close(self) -> None:
        """Close every connection; answers that are still read fail."""
        await self._direct.close()
        for opening in self._through.values():
            await (await opening).close()
        self._through.clear()

    def _proxy_of(self, url: str) -> str | None:
        try:
            origin = origin_of(url)
            if origin not in self._routes:
                scheme = "https" if origin.secure else "http"
                self._routes[origin] = self._proxies.proxy_for(scheme, origin.host, origin.port)
            return self._routes[origin]
        except ValueError as error:
            raise SendFailure(f"this is no request that can be sent: {error}", sent=False) from None
        except ProxyUnusable as trouble:
            raise SendFailure(trouble.cause, sent=False) from trouble

    async def _open(self, proxy: str) -> ThroughProxy:
        def make() -> ThroughProxy:
            from app.core.mcp.proxy.http.through import ThroughProxy

            return ThroughProxy(proxy, self._tls(), self._connect_seconds)

        # Importing httpx2 and reading the system's certificates take their time.
        return await asyncio.to_thread(make)
