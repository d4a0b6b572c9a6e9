"""Addresses of MCP servers: how they are stored, which are acceptable, and which the workspace may call."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

SELF = "self:"


def absolute(address: str, origin: str) -> str:
    """A stored address as it can be reached now; `self:` stands for the workspace's own origin."""
    return origin + address.removeprefix(SELF) if address.startswith(SELF) else address


def relative(address: str, origin: str) -> str:
    """An address as it is stored; the inverse of `absolute`."""
    if address == origin or address.startswith(origin + "/"):
        return SELF + address.removeprefix(origin)
    return address


def url_problem(url: str) -> str | None:
    """Why an MCP server's address is not acceptable, None when it is."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return "Invalid URL"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "Invalid URL"
    if parts.scheme not in ("http", "https") or not host:
        return "Scheme must be http or https"
    if parts.username is not None or parts.password is not None:
        return "Credentials in the address"
    if is_loopback(url):
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None if parts.scheme == "https" else "Plain http is for this machine only"
    if not address.is_global:
        return "Private IP address not allowed"
    return None if parts.scheme == "https" else "Plain http is for this machine only"


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine, the only place the workspace calls."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and parts.hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        return False
