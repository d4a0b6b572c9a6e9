"""What the shim itself tells the program: the errors of requests that did not get an answer (`proxy/refusals.py`).

Each function returns the `error` member of a JSON-RPC answer.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from app.core.mcp.proxy.refusals import Refusal, RefusalKind

LONGEST_TITLE = 60


class ServedServer(NamedTuple):
    """The server: its id, and how it calls itself once it has said so."""

    id: str
    title: str

    def named(self, result: dict[str, Any]) -> ServedServer:
        """The server after its answer to the first request."""
        info = result.get("serverInfo")
        for name in ("title", "name"):
            title = info.get(name) if isinstance(info, dict) else None
            if isinstance(title, str) and title.strip() and title.isprintable() and len(title) <= LONGEST_TITLE:
                return ServedServer(self.id, title)
        return self


def unavailable(server: ServedServer, reason: str) -> dict[str, Any]:
    """The server cannot be used; `reason` is a sentence."""
    words = f"{server.title} cannot be used through Burrow. {reason}".strip()
    return _error(Refusal(RefusalKind.SERVER_UNAVAILABLE, words, "Look at the server in Burrow.", server.id))


def outcome_unknown(server: ServedServer, reason: str) -> dict[str, Any]:
    """The answer was lost, so nobody knows whether it ran."""
    action = "Check what happened before you try again."
    words = f"{server.title} may have run this, but its answer was lost: {reason}. {action}"
    return _error(Refusal(RefusalKind.SERVER_UNAVAILABLE, words, action, server.id, {"outcome_unknown": True}))


def not_ready(server: ServedServer, reason: str) -> dict[str, Any]:
    """Nobody serves the proxy."""
    words = f"Burrow is not ready: {reason.rstrip('.') or 'it is starting'}."
    return _error(Refusal(RefusalKind.NOT_READY, words, "Start Burrow and try again.", server.id))


def no_access(server: ServedServer) -> dict[str, Any]:
    """The proxy does not know the key any more."""
    action = "Add it again (burrow connect add NAME), and start this program again."
    words = f"Burrow gives this client no access any more. {action}"
    return _error(Refusal(RefusalKind.NOT_APPROVED, words, action, server.id))


def _error(refusal: Refusal) -> dict[str, Any]:
    return dict(json.loads(refusal.to_json(None))["error"])
