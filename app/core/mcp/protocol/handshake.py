"""The results of `initialize` and `server/discover`, without what the SDK's models would refuse them as a whole for."""

from __future__ import annotations

from typing import Any

HANDSHAKE_METHODS = frozenset({"initialize", "server/discover"})
UNNAMED = {"name": "", "version": ""}


def mended_handshake(method: str, raw: dict[str, Any]) -> dict[str, Any]:
    """A copy in which the parts that only describe the server have the types of their standard.

    The revisions stay as they are: without them there is no session.
    """
    mended = dict(raw)
    mended["capabilities"] = _capabilities(raw.get("capabilities"))
    if method == "initialize" or "serverInfo" in raw:
        mended["serverInfo"] = _info(raw.get("serverInfo"))
    if not isinstance(raw.get("instructions", ""), str):
        del mended["instructions"]
    return mended


def _capabilities(raw: object) -> dict[str, Any]:
    """Each capability as an object. Some servers write `true`."""
    if not isinstance(raw, dict):
        return {}
    return {name: value if isinstance(value, dict) else {} for name, value in raw.items() if value not in (None, False)}


def _info(raw: object) -> dict[str, Any]:
    if not isinstance(raw, dict):
        return dict(UNNAMED)
    named = {name: "" if raw.get(name) is None else str(raw[name]) for name in UNNAMED}
    # Only these describe it here. A title or icons of a wrong type would refuse the whole answer.
    return named | ({"title": raw["title"]} if isinstance(raw.get("title"), str) else {})
