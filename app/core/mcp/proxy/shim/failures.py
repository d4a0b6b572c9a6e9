"""What the shim itself tells the program: the errors of requests that did not get an answer (`proxy/refusals.py`).

Each function returns the `error` member of a JSON-RPC answer. `server` is the id of the server.
"""

from __future__ import annotations

import json
from typing import Any

from app.core.mcp.proxy.refusals import Refusal, RefusalKind


def unavailable(server: str, reason: str) -> dict[str, Any]:
    """The server cannot be used; `reason` is a sentence."""
    words = f"{server} cannot be used through Burrow. {reason}".strip()
    return _error(Refusal(RefusalKind.SERVER_UNAVAILABLE, words, "Look at the server in Burrow.", server))


def outcome_unknown(server: str, reason: str) -> dict[str, Any]:
    """The answer was lost, so nobody knows whether it ran."""
    action = "Check what happened before you try again."
    words = f"{server} may have run this, but its answer was lost: {reason}. {action}"
    return _error(Refusal(RefusalKind.SERVER_UNAVAILABLE, words, action, server, {"outcome_unknown": True}))


def not_ready(server: str, reason: str) -> dict[str, Any]:
    """Nobody serves the proxy."""
    words = f"Burrow is not ready: {reason.rstrip('.') or 'it is starting'}."
    return _error(Refusal(RefusalKind.NOT_READY, words, "Start Burrow and try again.", server))


def no_access(server: str) -> dict[str, Any]:
    """The proxy does not know the key any more."""
    action = "Add it again (burrow connect add NAME), and start this program again."
    words = f"Burrow gives this client no access any more. {action}"
    return _error(Refusal(RefusalKind.NOT_APPROVED, words, action, server))


def _error(refusal: Refusal) -> dict[str, Any]:
    return dict(json.loads(refusal.to_json(None))["error"])
