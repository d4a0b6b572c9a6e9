"""Where a person can sign in, and which origins may ever see their token (docs/wire.md, "Hosts and origins")."""

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

    `key` names it in settings and storage and does not change between starts: `us`, `eu`, `workspace`, or the origin
    of a self-hosted server. `origin` has no path and no trailing slash. `mcp_url` is the server's own MCP endpoint, or
    None: a self-hosted origin has none, so that its token never reaches the cloud's. `client_id` overrides dynamic
    registration. `resource` is the audience that tokens are renewed for, where the server binds them to one (RFC 8707).
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
        """The only origins that the person's token may be sent to."""
        origins = {self.origin}
        if self.mcp_url is not None:
            origins.add(origin_of(self.mcp_url))
        return frozenset(origins)

    @property
    def embedded(self) -> bool:
        """Whether this is the workspace that Burrow itself started."""
        return self.key == WORKSPACE


US = Host("us", "PostHog US", "https://us.posthog.com", POSTHOG_MCP_URL)
EU = Host("eu", "PostHog EU", "https://eu.posthog.com", POSTHOG_MCP_URL)
BUILT_IN = {host.key: host for host in (US, EU)}


def parse_host(text: str, client_id: str | None = None) -> Host:
    """`us`, `eu` or an origin as a person types it.

    A built-in host is itself however it is spelled; an international name becomes its ASCII form, as it travels (RFC
    5891). Raises `Rejected` (attr `host`) for anything that is not a bare origin and for plain http that leaves the
    machine.
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
    """The embedded workspace at the address of this start."""
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
    """The address with its name as it travels. Raises `ValueError` for what is no name, and for one that the two
    revisions of IDNA would lead to different servers.
    """
    hostname = parts.hostname or ""
    if ":" in hostname:
        if "%" in hostname:
            raise ValueError("a zone means something on this machine only")
        ip_address(hostname)
        return parts
    name = hostname
    if not hostname.isascii():
        encoded = hostname.encode("idna")
        if encoded.decode("idna") != hostname:
            raise ValueError("ambiguous")
        name = encoded.decode("ascii").lower()
    if not HOST_NAME.fullmatch(name):
        raise ValueError("no host name")
    return parts._replace(netloc=name if parts.port is None else f"{name}:{parts.port}")


def _refused(cause: str) -> Rejected:
    return Rejected(cause, Facts(attr="host"), action="Correct the address.")
