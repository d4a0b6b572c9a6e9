"""Addresses as OAuth and MCP compare them (RFC 3986 section 6.2.2, RFC 8252 section 8.3, RFC 8414 section 3.3)."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
PERCENT = re.compile(r"%([0-9a-fA-F]{2})")
UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


def origin_of(url: str) -> str:
    """Scheme, host and port of `url`, lower-cased, the scheme's default port left out."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    port = parts.port
    if port is None or port == DEFAULT_PORTS.get(parts.scheme):
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{port}"


def is_loopback(hostname: str) -> bool:
    """Whether a host name can only mean this machine (RFC 8252 section 8.3)."""
    if hostname == "localhost":
        return True
    try:
        return ip_address(hostname).is_loopback
    except ValueError:
        return False


def is_confidential(url: str) -> bool:
    """Whether nobody between here and the server reads what is sent: https, or http on this machine.

    False too for what is no address, and for one with a user name or a password in it. `urlsplit` passes over spaces
    and control characters, and browsers take a backslash for a slash: an address with any of them is two addresses.
    """
    if not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if parts.username is not None or not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def may_name(source: str, url: str) -> bool:
    """Whether the server at `source` may send this client on to `url`.

    It must be confidential. What is on this machine only a server on this machine may name: another one would have
    Burrow send requests to services here that no page in a browser can reach.
    """
    if not is_confidential(url):
        return False
    return is_loopback(urlsplit(source).hostname or "") or not is_loopback(urlsplit(url).hostname or "")


def normalized(url: str) -> str:
    """`url` without the differences that mean nothing: case of scheme and host, default port, escapes, empty path.

    A fragment is left out. Raises `ValueError` for what is no address, and for one with a user name.
    """
    parts = urlsplit(url)
    if not parts.scheme or not parts.hostname or parts.username is not None:
        raise ValueError("no address of a server")
    # `urlsplit` does not tell an empty query from none.
    query = f"?{_unescaped(parts.query)}" if "?" in url.partition("#")[0] else ""
    return f"{origin_of(url)}{_unescaped(parts.path) or '/'}{query}"


def same_url(one: str, other: str) -> bool:
    """Whether two addresses are the same one once they are `normalized`; False for what is no address."""
    try:
        return normalized(one) == normalized(other) and urlsplit(one).fragment == urlsplit(other).fragment
    except ValueError:
        return False


def _unescaped(text: str) -> str:
    """Escapes of characters that need none are undone; the hexadecimal digits of the others are upper case."""

    def plain(match: re.Match[str]) -> str:
        byte = int(match[1], 16)
        return chr(byte) if byte in UNRESERVED else match[0].upper()

    return PERCENT.sub(plain, text)
