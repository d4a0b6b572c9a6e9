"""The errors for HTTP responses that are no success: one table from verdicts to errors, for REST and MCP.

The classifier's verdict selects the error's type. The cause is the server's own explanation, unless ours says more. A
request with side effects is not reported as failed when it may have been carried out (faults row 55).
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from app.core.auth.http.classifier import UPSTREAM_UNREACHABLE, Reply, Verdict, classify
from app.core.auth.http.clients import retry_after
from app.core.auth.http.target import CredentialAtStake
from app.core.auth.oauth.step_up import format_scopes
from app.core.errors import (
    BurrowError,
    Facts,
    NotFound,
    OutcomeUnknown,
    PermissionMissing,
    PolicyRefused,
    QuotaReached,
    ReachedLimit,
    Rejected,
    ServerTrouble,
    SignInNeeded,
    Throttled,
    VendorSignInNeeded,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.auth.key import CredentialKey

# As many files as are named at most.
MOST_FILES = 100
# Characters of the server's own explanation.
SHOWN_CHARACTERS = 500
REFUSES_LIVE_TOKEN = "{name} refuses a sign-in that works elsewhere"
ABOUT_TOKEN = frozenset({Verdict.RECOVERABLE_AUTH, Verdict.AMBIGUOUS_AUTH, Verdict.KEY_REFUSED})
# Transient failures after which the request was certainly not processed: an intermediary's 403 page, and any 503.
NOT_PROCESSED = frozenset({403, 503})
# A name that may be shown: the `Server` header is the server's own text.
PRODUCT = re.compile(r"[A-Za-z][\w.-]{0,39}", re.ASCII)


class Meaning(NamedTuple):
    """The error for a verdict.

    `cause` may use `{name}` and `{status}`. It is the error's cause when the server explains nothing, and with
    `replaces_detail` always.
    """

    kind: type[BurrowError]
    cause: str = "{name} answered with status {status}."
    replaces_detail: bool = False


MEANINGS: Mapping[Verdict, Meaning] = {
    # The request was repeated with a new token, and refused again. The grant works, so this server is at fault.
    Verdict.RECOVERABLE_AUTH: Meaning(ServerTrouble, f"{REFUSES_LIVE_TOKEN}."),
    Verdict.KEY_REFUSED: Meaning(SignInNeeded, "{name} no longer accepts this sign-in.", replaces_detail=True),
    # The host has accepted the token, so it is the vendor's. If the host did not say, or the refresh failed, the caller
    # has that error and does not ask here.
    Verdict.AMBIGUOUS_AUTH: Meaning(VendorSignInNeeded, "The server's own sign-in has ended.", replaces_detail=True),
    Verdict.VENDOR_SIGN_IN: Meaning(VendorSignInNeeded, "The server's own sign-in has ended.", replaces_detail=True),
    Verdict.POLICY: Meaning(PolicyRefused),
    Verdict.PERMISSION: Meaning(PermissionMissing, "{name} does not permit this."),
    Verdict.SCOPE: Meaning(PermissionMissing, "{name} does not permit this."),
    Verdict.THROTTLED: Meaning(Throttled, "{name} received too many requests."),
    Verdict.QUOTA: Meaning(QuotaReached, "{name} says that a limit is reached."),
    Verdict.NOT_FOUND: Meaning(NotFound, "There is nothing at this address."),
    Verdict.REJECTED: Meaning(Rejected, "{name} does not accept the request."),
    Verdict.TRANSIENT: Meaning(ServerTrouble),
    Verdict.NOT_OURS: Meaning(ServerTrouble),
}


def answer_error(
    reply: Reply, *, name: str, origin: str, repeatable: bool = True, credential: CredentialKey | None = None
) -> BurrowError:
    """The error for a response. `name` is the server's name for people, `credential` the one that was carried.

    `repeatable` is False for a request with side effects. After a 5xx it may have been carried out, which is
    `OutcomeUnknown`, unless the response says that it was not processed.
    """
    verdict, _rule = classify(reply)
    kind = MEANINGS[verdict].kind
    if verdict is Verdict.TRANSIENT and not repeatable and not _not_processed(reply):
        kind = OutcomeUnknown
    facts = _facts(reply, origin)
    if kind is SignInNeeded and credential is not None:
        facts = replace(facts, credential=credential.text)
    action = f"This sign-in lacks {format_scopes(facts.scopes)}. {kind.action}" if facts.scopes else None
    return kind(_cause(reply, verdict, name), facts, action=action)


def concerns_token(reply: Reply) -> bool:
    """Whether a response is about the carried token. The error of a failed refresh then explains more than this one."""
    verdict, _rule = classify(reply)
    return verdict in ABOUT_TOKEN or reply.code == "not_authenticated"


def _not_processed(reply: Reply) -> bool:
    """Whether a transient failure says that the request was not carried out."""
    unreachable = reply.at_stake is CredentialAtStake.VENDOR_BEHIND and reply.proxy_error == UPSTREAM_UNREACHABLE
    return reply.status in NOT_PROCESSED or unreachable


def _cause(reply: Reply, verdict: Verdict, name: str) -> str:
    ours = MEANINGS[verdict].cause.format(name=name, status=reply.status)
    if MEANINGS[verdict].replaces_detail:
        return ours
    if _from_intermediary(reply, verdict):
        return _intermediary_cause(reply, verdict, name)
    detail = _detail(reply)
    if detail and verdict is Verdict.RECOVERABLE_AUTH:
        return f"{REFUSES_LIVE_TOKEN.format(name=name)}: {detail}"
    if detail or reply.is_page or not _readable(reply):
        return detail or ours
    return f"{name} answered with status {reply.status}: {reply.text[:SHOWN_CHARACTERS].strip()}"


def _from_intermediary(reply: Reply, verdict: Verdict) -> bool:
    """Whether something else than the server refused: with a page, or by asking for a sign-in of its own."""
    if verdict is Verdict.NOT_OURS:
        asks = reply.status == 401 and reply.other_schemes_only and reply.at_stake is not CredentialAtStake.UNMANAGED
        return asks or reply.status == 407
    return reply.refused and reply.is_page and verdict in {Verdict.RECOVERABLE_AUTH, Verdict.TRANSIENT}


def _intermediary_cause(reply: Reply, verdict: Verdict, name: str) -> str:
    found = PRODUCT.match("Cloudflare" if "cf-ray" in reply.headers else reply.headers.get("server", ""))
    something = f"Something between Burrow and {name}" + (f" ({found[0]})" if found else "")
    if verdict is Verdict.NOT_OURS:
        return f"{something} asks for a sign-in of its own."
    if verdict is Verdict.RECOVERABLE_AUTH:
        return f"{something} answered in its place: it refuses a sign-in that works elsewhere."
    return f"{something} answered in its place, with a page and status {reply.status}."


def _facts(reply: Reply, origin: str) -> Facts:
    attr = (reply.json or {}).get("attr")
    return Facts(
        status=reply.status,
        code=reply.code or None,
        detail=_detail(reply) or None,
        attr=attr if isinstance(attr, str) else None,
        retry_after=retry_after(reply.headers),
        origin=origin,
        scopes=reply.missing_scopes,
        limit=_limit(reply),
        missing_files=_missing_files(reply),
    )


def _limit(reply: Reply) -> ReachedLimit | None:
    """The limit that a start of a run has met (docs/wire.md, "Starting a run"); None if the answer names none."""
    body = reply.json or {}
    if not body.keys() & {"limit_type", "reset_at", "is_pro"}:
        return None
    kind, paid = body.get("limit_type"), body.get("is_pro")
    return ReachedLimit(
        kind if isinstance(kind, str) else "", _moment(body.get("reset_at")), paid if isinstance(paid, bool) else None
    )


def _moment(value: object) -> datetime | None:
    """A time of the server: ISO 8601, or seconds since 1970. UTC where it has no zone."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found


def _missing_files(reply: Reply) -> tuple[str, ...]:
    found = (reply.json or {}).get("missing_artifact_ids")
    listed = found[:MOST_FILES] if isinstance(found, list) else []
    return tuple(each for each in listed if isinstance(each, str))


def _readable(reply: Reply) -> bool:
    """Whether the body is text that a person can read. One with null characters is binary, or in another encoding."""
    return bool(reply.text) and "\0" not in reply.text


def _detail(reply: Reply) -> str:
    """The server's own explanation; empty when the body is a page or data."""
    only_detail = reply.detail or reply.is_page or not _readable(reply) or reply.text.startswith(("{", "["))
    return (reply.detail if only_detail else reply.text)[:SHOWN_CHARACTERS].strip()
