"""McpStore: the servers on offer, the installed servers, their tools and approval states (docs/wire.md, "MCP store").

Errors have the server's own explanation in `facts.detail`. For a failed installation it is the only one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec

from app.core.errors import Facts, ProtocolTrouble
from app.core.posthog.types import ApprovalState, Installation, ServerTemplate, StoreTool
from app.core.posthog.wire import MAX_LIMIT, decode_one, decode_page, segment
from app.core.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.core.fetcher import Answer, Fetcher

T = TypeVar("T")

# Only this source gets the URL to open as data. Others get a redirect (docs/wire.md, "Installing and connecting").
INSTALL_SOURCE = "posthog-code"
# Against a server whose pages never end.
MAX_PAGES = 50

log = logging.getLogger(__name__)


class _Redirect(msgspec.Struct):
    redirect_url: str | None = None


class McpStore:
    """Every method sends requests and raises `BurrowError`. `project` returns the current project's id."""

    def __init__(self, fetcher: Fetcher, project: Callable[[], int]) -> None:
        self._fetcher = fetcher
        self._project = project

    async def templates(self) -> tuple[ServerTemplate, ...]:
        """The servers on offer."""
        return await self._all(f"{self._base()}/mcp_servers/", ServerTemplate)

    async def installations(self) -> tuple[Installation, ...]:
        """The servers that the account or its team installed."""
        return await self._all(self._path(), Installation, limit=MAX_LIMIT)

    async def install(self, template: ServerTemplate | str, api_key: str | None = None) -> Installation | str:
        """Install a server on offer. Returns the installation, or for OAuth the URL where the user authorizes it.

        After opening the URL, poll `installations` until `pending_oauth` is false.
        """
        template_id = template.id if isinstance(template, ServerTemplate) else template
        return await self._install("install_template", {"template_id": template_id, "api_key": api_key or None})

    async def install_custom(
        self,
        name: str,
        url: str,
        *,
        auth_type: str = "api_key",
        api_key: str | None = None,
        description: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
    ) -> Installation | str:
        """Install a server by its URL; returns what `install` returns.

        `client_id` and `client_secret` are for servers without dynamic client registration.
        """
        return await self._install(
            "install_custom",
            {
                "name": name,
                "url": url,
                "auth_type": auth_type,
                "api_key": api_key or None,
                "description": description or None,
                "client_id": client_id or None,
                "client_secret": client_secret or None,
            },
        )

    async def authorize(self, installation_id: str) -> str:
        """The URL where the user completes or repeats the vendor's sign-in. Raises `ProtocolTrouble` without one."""
        answer = await self._fetcher.get(
            self._path("authorize"),
            params={"installation_id": installation_id, "install_source": INSTALL_SOURCE},
        )
        url = answer.decode(_Redirect).redirect_url
        if url is None:
            raise ProtocolTrouble("The server named no address to sign in at.", _facts(answer))
        return _address(url, answer)

    async def update(
        self,
        installation_id: str,
        *,
        is_enabled: bool | None = None,
        display_name: str | None = None,
        description: str | None = None,
    ) -> Installation:
        """Change the fields that are not None."""
        body = {"is_enabled": is_enabled, "display_name": display_name, "description": description}
        return decode_one(await self._repeatable("PATCH", self._path(installation_id), _not_none(body)), Installation)

    async def remove(self, installation_id: str) -> None:
        """Uninstall a server."""
        await self._fetcher.delete(self._path(installation_id))

    async def tools(self, installation_id: str) -> tuple[StoreTool, ...]:
        """The tools as the store knows them, with the approval states that its proxy enforces."""
        return await self._all(self._path(installation_id, "tools"), StoreTool)

    async def set_policy(self, installation_id: str, tool: str, state: ApprovalState) -> StoreTool:
        """Set whether agents may call a tool. Raises `Rejected` when the team's policy is stricter."""
        path = self._path(installation_id, "tools", tool)
        return decode_one(await self._repeatable("PATCH", path, {"approval_state": state}), StoreTool)

    async def refresh_tools(self, installation_id: str) -> tuple[StoreTool, ...]:
        """Make the store read the server's tool list again; returns the tools."""
        path = self._path(installation_id, "tools", "refresh")
        return await self._rest(await self._repeatable("POST", path, None), StoreTool)

    def proxy_path(self, installation_id: str) -> str:
        """The path of an installation's proxy, for hosts that name no `proxy_url`."""
        return self._path(installation_id, "proxy")

    async def _repeatable(self, method: str, path: str, body: object | None) -> Answer:
        """Send a request that sets a state. Sending it twice does no harm, so its failure is never `OutcomeUnknown`."""
        return await self._fetcher.request(method, path, body=body, idempotent=True)

    async def _install(self, action: str, body: dict[str, object]) -> Installation | str:
        fields = _not_none({**body, "install_source": INSTALL_SOURCE})
        answer = await self._fetcher.post(self._path(action), fields)
        url = answer.decode(_Redirect).redirect_url
        return decode_one(answer, Installation) if url is None else _address(url, answer)

    async def _all(self, path: str, kind: type[T], **params: int) -> tuple[T, ...]:
        return await self._rest(await self._fetcher.get(path, params=params or None), kind)

    async def _rest(self, answer: Answer, kind: type[T]) -> tuple[T, ...]:
        page = decode_page(answer, kind)
        items = list(page.items)
        for _ in range(MAX_PAGES):
            if page.next is None:
                break
            page = decode_page(await self._fetcher.get(page.next), kind, page.next)
            items += page.items
        else:
            log.warning("a list of %s was cut after %d pages", kind.__name__, MAX_PAGES)
        return tuple(items)

    def _path(self, *parts: str) -> str:
        middle = "/".join(segment(part) for part in parts)
        return f"{self._base()}/mcp_server_installations/{middle}{'/' if middle else ''}"

    def _base(self) -> str:
        return f"/api/environments/{self._project()}"


def _not_none(body: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in body.items() if value is not None}


def _address(url: str, answer: Answer) -> str:
    """`url`, if it may be opened in the browser. Raises `ProtocolTrouble` otherwise."""
    # The URL comes from a server and goes to the system, which starts programs for other schemes.
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        raise ProtocolTrouble("The server named an address that must not be opened.", _facts(answer))
    return url


def _facts(answer: Answer) -> Facts:
    return Facts(status=answer.status, origin=answer.origin)
