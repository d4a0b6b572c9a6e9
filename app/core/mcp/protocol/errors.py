"""What went wrong with a request, as one of Burrow's errors (faults rows 41 to 57).

See docs/wire.md, "Error envelope" and "Installation proxy". Pure functions over a failed exchange. They branch on
statuses, codes and structure, never on a message's wording, save for the documented bodies of the installation proxy,
which `auth/http/classifier.py` knows.
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
    from app.core.mcp.protocol.exchange import RpcError

MESSAGE_LIMIT = 2_000
# Other refusals of a request, such as 405 or 406, are about the protocol, not about what a person typed.
ARGUMENTS_REFUSED = frozenset({400, 413, 422})
POLICY_CODES = frozenset({-32001, -32002})
MEANINGS: Mapping[int, str] = {
    -32700: "The server could not read the request, or its answer is not JSON.",
    -32600: "The server says that this is not a valid request.",
    -32601: "The server does not know this method or tool.",
    -32602: "The server does not accept the arguments.",
    -32603: "The server failed inside.",
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

    `name` is what a person calls the server, `origin` where it is. `answered` is False when nothing answered; `unsent`
    then says that the request certainly never left, and `ending` how the connection ended, where that is known.
    `cut_off`: an answer began and broke off. `rpc` is the JSON-RPC error, `limit` the size in bytes that the answer
    exceeded. `repeatable`: sending the request twice does no harm.
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
    limit: int | None = None
    rpc: RpcError | None = None
    ending: str = ""
    credential: CredentialKey | None = None


def typed(failure: FailedExchange) -> BurrowError:
    """The error to raise."""
    if failure.limit is not None:
        megabytes = failure.limit // (1024 * 1024)
        return ProtocolTrouble(
            f"The answer is larger than {megabytes} MB and was not read further.",
            Facts(status=failure.status, code="too-large", origin=failure.origin),
            action="Ask for less at once.",
        )
    if not failure.answered:
        return _no_answer(failure)
    if failure.cut_off:
        return _broken_off(failure, "The connection broke before the answer was complete.")
    if failure.status is not None and failure.status >= 400 and not _answered_in_protocol(failure):
        return _http(failure)
    if failure.rpc is not None:
        return _rpc(failure, failure.rpc)
    return ProtocolTrouble("The server's answer could not be understood.", _facts(failure))


def _answered_in_protocol(failure: FailedExchange) -> bool:
    """Whether a JSON-RPC error in the body says more than the HTTP status around it."""
    return (
        failure.rpc is not None
        and failure.body.lstrip().startswith(b"{")
        and b'"jsonrpc"' in failure.body
        and failure.status in {400, 404, 405, 406, 409, 422}
    )


def _no_answer(failure: FailedExchange) -> BurrowError:
    if failure.unsent:
        return Offline(failure.ending or f"{failure.origin} cannot be reached.", _facts(failure))
    words = failure.ending or f"The connection to {failure.origin} broke before an answer came."
    return _broken_off(failure, words)


def _broken_off(failure: FailedExchange, words: str) -> BurrowError:
    kind = ServerTrouble if failure.repeatable else OutcomeUnknown
    return kind(words, _facts(failure))


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


def _rpc(failure: FailedExchange, error: RpcError) -> BurrowError:
    code, message = error.code, error.message[:MESSAGE_LIMIT]
    facts = _facts(failure, code=str(code), detail=message or None)
    if code in POLICY_CODES and failure.calling and failure.at_stake is CredentialAtStake.VENDOR_BEHIND:
        return PolicyRefused(message, facts)
    ours = failure.at_stake is CredentialAtStake.CARRIED and failure.status == 200
    if ours and refuses_token(error.data, error.message):
        return ServerTrouble(f"{REFUSES_LIVE_TOKEN.format(name=failure.name)}.", facts)
    meaning = MEANINGS.get(code, "The server answered with an error of its own.")
    page = _page_to_open(error.data) if code == -32042 else None
    words = f"{meaning} {message}".strip() if message and message != meaning else meaning
    return ProtocolTrouble(f"{words} ({code})", facts, action=None if page is None else f"Open {page}, then try again.")


def _page_to_open(data: Any) -> str | None:
    match data:
        case {"elicitations": [{"url": str(url)}, *_]} if url.startswith(("https://", "http://")):
            return url
        case _:
            return None


def _facts(failure: FailedExchange, *, code: str | None = None, detail: str | None = None) -> Facts:
    return Facts(failure.status, code, detail, retry_after=retry_after(failure.headers or {}), origin=failure.origin)
