"""Comparing and checking URLs by the rules of OAuth and MCP.

RFC 3986 section 6.2.2, RFC 8252 section 8.3, RFC 8414 section 3.3.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
PERCENT = re.compile(r"%([0-9a-fA-F]{2})")
UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


def origin_of(url: str) -> str:
    """Scheme, host and port of `url` in lower case, without the scheme's default port. Raises `ValueError`."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    port = parts.port
    if port is None or port == DEFAULT_PORTS.get(parts.scheme):
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{port}"


def origin_if_any(url: str) -> str | None:
    """`origin_of` a web address that came from elsewhere; None for text that is none."""
    # `urlsplit` drops line breaks and keeps spaces, where an HTTP client refuses the address.
    if not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        return origin_of(url) if parts.scheme in DEFAULT_PORTS and parts.hostname else None
    except ValueError:
        return None


def is_loopback(hostname: str) -> bool:
    """Whether a host name can only mean this machine (RFC 8252 section 8.3)."""
    # Any other name may resolve to a loopback address now and to another one later.
    if hostname == "localhost":
        return True
    try:
        return ip_address(hostname).is_loopback
    except ValueError:
        return False


def is_confidential(url: str) -> bool:
    """Whether nobody between here and the server can read what is sent: https, or http to this machine.

    False too for text that is no URL, and for a URL with a user name or password.
    """
    # `urlsplit` ignores spaces and control characters, and browsers read a backslash as a slash. A URL with any of them
    # could pass this check as one URL and be opened as another.
    if not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        # Raises for an invalid port.
        _ = parts.port
    except ValueError:
        return False
    if parts.username is not None or not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def may_name(source: str, url: str) -> bool:
    """Whether the server at `source` may direct this client to `url`, which must be confidential."""
    # Only a server on this machine may name another one here. Otherwise any server could make Burrow send requests to
    # local services that are not meant to be reached from outside.
    if not is_confidential(url):
        return False
    return is_loopback(urlsplit(source).hostname or "") or not is_loopback(urlsplit(url).hostname or "")


def normalized(url: str) -> str:
    """`url` without differences that have no meaning: case of scheme and host, default port, escapes, empty path.

    The fragment is left out. Raises `ValueError` for text that is no URL, and for a URL with a user name.
    """
    parts = urlsplit(url)
    if not parts.scheme or not parts.hostname or parts.username is not None:
        raise ValueError("no URL of a server")
    # `urlsplit` gives the same for an empty query and for none.
    query = f"?{_unescaped(parts.query)}" if "?" in url.partition("#")[0] else ""
    return f"{origin_of(url)}{_unescaped(parts.path) or '/'}{query}"


def same_url(one: str, other: str) -> bool:
    """Whether two URLs are equal after `normalized`, fragment included; False for text that is no URL."""
    try:
        return normalized(one) == normalized(other) and urlsplit(one).fragment == urlsplit(other).fragment
    except ValueError:
        return False


def _unescaped(text: str) -> str:
    """`text` with unreserved characters unescaped, and upper-case hexadecimal digits in the other escapes."""

    def unescape(match: re.Match[str]) -> str:
        byte = int(match[1], 16)
        return chr(byte) if byte in UNRESERVED else match[0].upper()

    return PERCENT.sub(unescape, text)
