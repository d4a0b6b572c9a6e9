"""The errors for failed requests to MCP servers (faults rows 41 to 57).

See docs/wire.md, "Error envelope" and "Installation proxy". Pure functions of a failed exchange. They branch on
statuses, codes and structure, never on the text of a message. Only the documented bodies of the installation proxy are
compared, by `auth/http/classifier.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.core.auth.http.classifier import Reply, refuses_token
from app.core.auth.http.clients import retry_after
from app.core.auth.http.target import CredentialAtStake
from app.core.error_mapping import REFUSES_LIVE_TOKEN, answer_error
from app.core.errors import (
    BurrowError,
    Facts,
    Offline,
    OutcomeUnknown,
    PolicyRefused,
    ProtocolTrouble,
    Rejected,
    ServerTrouble,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.auth.key import CredentialKey
    from app.core.mcp.protocol.exchange import RpcErrorObject

MESSAGE_LIMIT = 2_000
# Refusals of the arguments that the user entered. Others, such as 405 or 406, are about the protocol.
ARGUMENTS_REFUSED = frozenset({400, 413, 422})
POLICY_CODES = frozenset({-32001, -32002})
MEANINGS: Mapping[int, str] = {
    -32700: "The server could not read the request, or its answer is not JSON.",
    -32600: "The server says that this is not a valid request.",
    -32601: "The server does not know this method or tool.",
    -32602: "The server does not accept the arguments.",
    -32603: "The server had an internal error.",
    -32000: "The server refused the request.",
    -32001: "The server gave up waiting, or refused the request.",
    -32002: "The server did not find what was asked for.",
    -32020: "The request's headers do not match its body, even after the tool list was read again.",
    -32021: "The tool needs something that Burrow does not offer, such as asking you questions while it runs.",
    -32022: "The server and Burrow share no revision of the protocol.",
    -32042: "The server wants you to open a web page before it goes on.",
}


@dataclass(frozen=True)
class FailedExchange:
    """The parts of a failed exchange that decide.

    - `name` is the server's name for people, `origin` where it is.
    - `repeatable`: sending the request twice does no harm. `calling`: it is a tool call.
    - `answered` is False without an answer. `unsent` then says that the request certainly never left, `close_reason`
      how the connection ended, if that is known.
    - `reason` explains why there is no answer, or no whole one, better than that.
    - `cut_off`: the response began and broke off. `exceeded_limit` is the size in bytes that it exceeded.
    - `rpc` is the JSON-RPC error.
    """

    at_stake: CredentialAtStake
    name: str
    origin: str
    repeatable: bool
    calling: bool = False
    answered: bool = True
    status: int | None = None
    headers: Mapping[str, str] | None = None
    body: bytes = b""
    unsent: bool = False
    cut_off: bool = False
    exceeded_limit: int | None = None
    rpc: RpcErrorObject | None = None
    close_reason: str = ""
    reason: BurrowError | None = None
    credential: CredentialKey | None = None


def error_for(failure: FailedExchange) -> BurrowError:
    """The error for a failed exchange."""
    # The order matters: each test assumes that those before it failed.
    if failure.exceeded_limit is not None:
        megabytes = failure.exceeded_limit // (1024 * 1024)
        return ProtocolTrouble(
            f"The answer is larger than {megabytes} MB and was not read further.",
            Facts(status=failure.status, code="too-large", origin=failure.origin),
            action="Ask for less at once.",
        )
    if not failure.answered:
        return _no_answer(failure)
    if failure.cut_off:
        if failure.reason is not None and failure.repeatable:
            return failure.reason
        words = "The connection broke before the answer was complete."
        return _interrupted(failure, words if failure.reason is None else failure.reason.cause)
    if failure.status is not None and failure.status >= 400 and not _answered_in_protocol(failure):
        return _http(failure)
    if failure.rpc is not None:
        return _rpc(failure, failure.rpc)
    return ProtocolTrouble("The server's answer could not be understood.", _facts(failure))


def _answered_in_protocol(failure: FailedExchange) -> bool:
    """Whether the JSON-RPC error in the body explains more than the HTTP status."""
    return (
        failure.rpc is not None
        and failure.body.lstrip().startswith(b"{")
        and b'"jsonrpc"' in failure.body
        and failure.status in {400, 404, 405, 406, 409, 422}
    )


def _no_answer(failure: FailedExchange) -> BurrowError:
    if failure.unsent and failure.reason is not None:
        return failure.reason
    if failure.unsent:
        return Offline(failure.close_reason or f"{failure.origin} cannot be reached.", _facts(failure))
    cause = failure.close_reason or f"The connection to {failure.origin} broke before an answer came."
    return _interrupted(failure, cause)


def _interrupted(failure: FailedExchange, cause: str) -> BurrowError:
    # The server may have executed the request. That matters only if executing it again would do harm.
    kind = ServerTrouble if failure.repeatable else OutcomeUnknown
    return kind(cause, _facts(failure))


def _http(failure: FailedExchange) -> BurrowError:
    assert failure.status is not None
    reply = Reply(failure.status, failure.headers or {}, failure.body, failure.at_stake)
    repeatable = failure.repeatable or not failure.calling
    error = answer_error(
        reply, name=failure.name, origin=failure.origin, repeatable=repeatable, credential=failure.credential
    )
    if isinstance(error, Rejected) and failure.status not in ARGUMENTS_REFUSED:
        return ProtocolTrouble(error.cause, error.facts)
    return error


def _rpc(failure: FailedExchange, error: RpcErrorObject) -> BurrowError:
    code, message = error.code, error.message[:MESSAGE_LIMIT]
    facts = _facts(failure, code=str(code), detail=message or None)
    # Only the store's proxy uses these codes for policies. Other servers use them for anything.
    if code in POLICY_CODES and failure.calling and failure.at_stake is CredentialAtStake.VENDOR_BEHIND:
        return PolicyRefused(message, facts)
    # The request was repeated with a new token, and refused again.
    about_token = failure.at_stake is CredentialAtStake.CARRIED and failure.status == 200
    if about_token and refuses_token(error.data, error.message):
        return ServerTrouble(f"{REFUSES_LIVE_TOKEN.format(name=failure.name)}.", facts)
    meaning = MEANINGS.get(code, "The server answered with an error of its own.")
    page = _page_to_open(error.data) if code == -32042 else None
    cause = f"{meaning} {message}".strip() if message and message != meaning else meaning
    return ProtocolTrouble(f"{cause} ({code})", facts, action=None if page is None else f"Open {page}, then try again.")


def _page_to_open(data: Any) -> str | None:
    match data:
        case {"elicitations": [{"url": str(url)}, *_]} if url.startswith(("https://", "http://")):
            return url
        case _:
            return None


def _facts(failure: FailedExchange, *, code: str | None = None, detail: str | None = None) -> Facts:
    return Facts(failure.status, code, detail, retry_after=retry_after(failure.headers or {}), origin=failure.origin)
