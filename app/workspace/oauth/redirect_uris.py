"""Redirect URIs: which may be registered, and which of a request match a registered one (RFC 8252)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

if TYPE_CHECKING:
    from app.workspace.oauth.clients import OAuthClient

BLOCKED_SCHEMES = frozenset({"javascript", "data", "file", "blob", "vbscript"})
LOOPBACK_LITERALS = frozenset({"127.0.0.1", "::1"})
LOOPBACK = LOOPBACK_LITERALS | {"localhost"}
LONGEST = 2000


def problem_with(uri: str) -> str | None:
    """Why `uri` may not be registered, or None."""
    parts = _split(uri)
    if parts is None or not parts.scheme:
        return "Redirect URI must be an absolute URI."
    if parts.scheme in BLOCKED_SCHEMES:
        return f"Redirect URI scheme '{parts.scheme}' is not allowed."
    if "#" in uri:
        return "Redirect URI must not contain a fragment."
    if parts.scheme in ("http", "https"):
        if not parts.hostname or parts.username is not None or parts.password is not None:
            return "Redirect URI must name a host and no credentials."
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            return "Plain http is allowed for loopback redirect URIs only."
    elif not (parts.netloc or parts.path):
        return "Redirect URI is empty."
    return None


def is_allowed(client: OAuthClient, given: str) -> bool:
    """Whether a request may use `given`: it is registered, or differs from a registered loopback URI in the port only.

    A native client cannot know in advance which port is free (RFC 8252, section 7.3). `localhost` may differ only if it
    was registered without a port. First-party clients may also register a path that ends in `/*`.
    """
    if problem_with(given) is not None:
        return False
    return any(
        given == registered or _same_on_loopback(registered, given, below=not client.dynamic)
        for registered in client.redirect_uris
    )


def with_query(uri: str, values: dict[str, str]) -> str:
    """`uri` with `values` added to its query."""
    parts = urlsplit(uri)
    query = [*parse_qsl(parts.query, keep_blank_values=True), *values.items()]
    return urlunsplit(parts._replace(query=urlencode(query)))


def form_action_source(uri: str) -> str:
    """The Content-Security-Policy source that lets a form's answer redirect to `uri`."""
    parts = urlsplit(uri)
    # Content-Security-Policy has no notation for an IPv6 address.
    if parts.scheme in ("http", "https") and ":" not in (parts.hostname or ""):
        return f"{parts.scheme}://{parts.netloc}"
    return f"{parts.scheme}:"


def _split(uri: str) -> SplitResult | None:
    # Some of these characters would end the Content-Security-Policy that the URI becomes part of; browsers read others
    # differently than `urlsplit`.
    if len(uri) > LONGEST or not uri.isascii() or not uri.isprintable() or any(c in uri for c in " \"'<>\\^`{|};,"):
        return None
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _same_on_loopback(registered: str, given: str, *, below: bool) -> bool:
    mine, other = _split(registered.removesuffix("/*")), _split(given)
    if mine is None or other is None or mine.scheme != "http" or other.scheme != "http":
        return False
    if mine.hostname not in LOOPBACK or mine.hostname != other.hostname or mine.query != other.query:
        return False
    if other.username is not None or other.password is not None:
        return False
    if mine.hostname not in LOOPBACK_LITERALS and mine.port is not None and mine.port != other.port:
        return False
    if below and registered.endswith("/*"):
        head, _, last = other.path.rpartition("/")
        return head == mine.path and bool(last)
    return mine.path == other.path
