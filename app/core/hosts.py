"""The hosts that the user can sign in to, and the origins that may receive their token.

See docs/wire.md, "Hosts and origins".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from app.core.errors import Facts, Rejected
from app.core.urls import DEFAULT_PORTS, is_loopback, origin_of

POSTHOG_MCP_URL = "https://mcp.posthog.com/mcp"
WORKSPACE = "workspace"
WORKSPACE_NAME = "Workspace"
HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


@dataclass(frozen=True, slots=True)
class Host:
    """A PostHog-compatible server.

    `key` identifies it in settings and storage and does not change between starts: `us`, `eu`, `workspace`, or the
    origin of a self-hosted server. `origin` has no path and no trailing slash. `mcp_url` is the host's own MCP
    endpoint, None for a self-hosted server, so that its token never reaches the cloud's endpoint. `client_id` is used
    in place of dynamic registration. `resource` is the audience of tokens, if the server binds them to one (RFC 8707).
    `secret` opens the fault switchboard of the embedded workspace.
    """

    key: str
    name: str
    origin: str
    mcp_url: str | None = None
    client_id: str | None = None
    resource: str | None = None
    secret: str | None = field(default=None, repr=False)

    @property
    def token_origins(self) -> frozenset[str]:
        """The only origins that the user's token may be sent to."""
        origins = {self.origin}
        if self.mcp_url is not None:
            origins.add(origin_of(self.mcp_url))
        return frozenset(origins)

    @property
    def embedded(self) -> bool:
        """Whether this is the embedded workspace."""
        return self.key == WORKSPACE


US = Host("us", "PostHog US", "https://us.posthog.com", POSTHOG_MCP_URL)
EU = Host("eu", "PostHog EU", "https://eu.posthog.com", POSTHOG_MCP_URL)
BUILT_IN = {host.key: host for host in (US, EU)}


def parse_host(text: str, client_id: str | None = None) -> Host:
    """The host for `us`, `eu` or an origin, as typed by the user.

    The origin of a built-in host is that host, however it is spelled. An international name becomes its ASCII form (RFC
    5891). Raises `Rejected` (attr `host`) for anything that is not a bare origin, and for http to another machine.
    """
    typed = text.strip()
    if typed.lower() in BUILT_IN:
        return BUILT_IN[typed.lower()]
    if not typed or any(character.isspace() or ord(character) < 32 for character in typed):
        raise _refused("Type the server's address, for example https://posthog.example.com.")
    try:
        parts = urlsplit(typed if "://" in typed else f"https://{typed}")
        _check_bare_origin(typed, parts)
        origin = origin_of(_in_ascii(parts).geturl())
    except ValueError:
        raise _refused(f"“{typed}” is not an address.") from None
    for host in BUILT_IN.values():
        if origin == host.origin:
            return host
    return Host(key=origin, name=parts.netloc, origin=origin, client_id=client_id or None)


def host_name(named: str) -> str:
    """What people call the host with this key or origin."""
    if named == WORKSPACE:
        return WORKSPACE_NAME
    try:
        return parse_host(named).name
    except Rejected:
        return named


def workspace_host(url: str, *, client_id: str, secret: str) -> Host:
    """The embedded workspace. Its URL has another port at each start."""
    origin = origin_of(url)
    return Host(WORKSPACE, WORKSPACE_NAME, origin, f"{origin}/mcp", client_id, secret=secret)


def _check_bare_origin(typed: str, parts: SplitResult) -> None:
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise _refused(f"“{typed}” is not a web address; it should look like https://posthog.example.com.")
    if parts.username is not None or parts.password is not None:
        raise _refused("The address must not carry a user name or password.")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise _refused("Give the address without a path, for example https://posthog.example.com.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise _refused("Plain http is accepted only on this machine; use https.")


def _in_ascii(parts: SplitResult) -> SplitResult:
    """The URL with its host name in ASCII. Raises `ValueError` for an invalid or ambiguous name."""
    hostname = parts.hostname or ""
    if ":" in hostname:
        if "%" in hostname:
            raise ValueError("a zone id has a meaning on this machine only")
        ip_address(hostname)
        return parts
    name = hostname
    if not hostname.isascii():
        encoded = hostname.encode("idna")
        # IDNA 2003 maps some characters to others, which IDNA 2008 keeps. Such a name would lead to one server here and
        # to another one in the browser.
        if encoded.decode("idna") != hostname:
            raise ValueError("ambiguous")
        name = encoded.decode("ascii").lower()
    if not HOST_NAME.fullmatch(name):
        raise ValueError("no host name")
    return parts._replace(netloc=name if parts.port is None else f"{name}:{parts.port}")


def _refused(cause: str) -> Rejected:
    return Rejected(cause, Facts(attr="host"), action="Correct the address.")
