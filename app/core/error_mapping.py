"""What an HTTP answer that is no success means to a person: one table from verdicts to errors, for REST and MCP alike.

The classifier's verdict gives the kind. The server's own words are told unless ours say more. A request that must not
be repeated, and whose outcome an answer leaves open, is never called failed (faults row 55).
"""

from __future__ import annotations

import re
from dataclasses import replace
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
    Rejected,
    ServerTrouble,
    SignInNeeded,
    Throttled,
    VendorSignInNeeded,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.auth.key import CredentialKey

# Characters of the server's own words.
SHOWN = 500
REFUSES_A_LIVE_SIGN_IN = "{name} refuses a sign-in that works elsewhere"
ABOUT_TOKEN = frozenset({Verdict.RECOVERABLE_AUTH, Verdict.AMBIGUOUS_AUTH, Verdict.KEY_REFUSED})
# After a page with 403 and after any 503 nothing was begun.
NOTHING_DONE = frozenset({403, 503})
PRODUCT = re.compile(r"[A-Za-z][\w.-]{0,39}", re.ASCII)


class Meaning(NamedTuple):
    """An error's type, and what it says of `{name}` and `{status}` where the server has no words, or none that help."""

    kind: type[BurrowError]
    words: str = "{name} answered with status {status}."
    ours_say_more: bool = False


MEANINGS: Mapping[Verdict, Meaning] = {
    # Renewed a moment ago and refused again: the grant works, this server does not take its tokens.
    Verdict.RECOVERABLE_AUTH: Meaning(ServerTrouble, f"{REFUSES_A_LIVE_SIGN_IN}."),
    Verdict.KEY_REFUSED: Meaning(SignInNeeded, "{name} no longer accepts this sign-in.", ours_say_more=True),
    # Settled by asking the host, or the renewal has failed, which says more.
    Verdict.AMBIGUOUS_AUTH: Meaning(VendorSignInNeeded, "The server's own sign-in has ended.", ours_say_more=True),
    Verdict.VENDOR_SIGN_IN: Meaning(VendorSignInNeeded, "The server's own sign-in has ended.", ours_say_more=True),
    Verdict.POLICY: Meaning(PolicyRefused),
    Verdict.PERMISSION: Meaning(PermissionMissing, "{name} does not permit this."),
    Verdict.SCOPE: Meaning(PermissionMissing, "{name} does not permit this."),
    Verdict.THROTTLED: Meaning(Throttled, "{name} asks for a pause."),
    Verdict.QUOTA: Meaning(QuotaReached, "{name} says that a limit is reached."),
    Verdict.NOT_FOUND: Meaning(NotFound, "There is nothing at this address."),
    Verdict.REJECTED: Meaning(Rejected, "{name} does not accept the request."),
    Verdict.TRANSIENT: Meaning(ServerTrouble),
    Verdict.NOT_OURS: Meaning(ServerTrouble),
}


def answer_error(
    reply: Reply, *, name: str, origin: str, repeatable: bool = True, credential: CredentialKey | None = None
) -> BurrowError:
    """The error that an answer stands for. `name` is what a person calls the server, `credential` what was carried.

    `repeatable` is False for a request with side effects: after a 5xx it may have had them, and `OutcomeUnknown` says
    so, unless the answer says that nothing was begun.
    """
    verdict, _rule = classify(reply)
    kind = MEANINGS[verdict].kind
    if verdict is Verdict.TRANSIENT and not repeatable and not _nothing_done(reply):
        kind = OutcomeUnknown
    facts = _facts(reply, origin)
    if kind is SignInNeeded and credential is not None:
        facts = replace(facts, credential=credential.text)
    action = f"This sign-in lacks {format_scopes(facts.scopes)}. {kind.action}" if facts.scopes else None
    return kind(_words(reply, verdict, name), facts, action=action)


def concerns_token(reply: Reply) -> bool:
    """Whether an answer is about the person's token, so that the reason of a failed renewal says it better."""
    verdict, _rule = classify(reply)
    return verdict in ABOUT_TOKEN or reply.code == "not_authenticated"


def _nothing_done(reply: Reply) -> bool:
    """Whether a transient failure says that the request was not carried out."""
    unreachable = reply.at_stake is CredentialAtStake.VENDOR_BEHIND and reply.proxy_error == UPSTREAM_UNREACHABLE
    return reply.status in NOTHING_DONE or unreachable


def _words(reply: Reply, verdict: Verdict, name: str) -> str:
    ours = MEANINGS[verdict].words.format(name=name, status=reply.status)
    if MEANINGS[verdict].ours_say_more:
        return ours
    if _answered_in_between(reply, verdict):
        return _words_in_between(reply, verdict, name)
    theirs = _sentence(reply)
    if theirs and verdict is Verdict.RECOVERABLE_AUTH:
        return f"{REFUSES_A_LIVE_SIGN_IN.format(name=name)}: {theirs}"
    if theirs or reply.is_page or not reply.text:
        return theirs or ours
    return f"{name} answered with status {reply.status}: {reply.text[:SHOWN].strip()}"


def _answered_in_between(reply: Reply, verdict: Verdict) -> bool:
    """Whether something else than the server itself refused: by a page, or by asking for a sign-in of its own."""
    if verdict is Verdict.NOT_OURS:
        asks = reply.status == 401 and reply.other_schemes_only and reply.at_stake is not CredentialAtStake.UNMANAGED
        return asks or reply.status == 407
    return reply.refused and reply.is_page and verdict in {Verdict.RECOVERABLE_AUTH, Verdict.TRANSIENT}


def _words_in_between(reply: Reply, verdict: Verdict, name: str) -> str:
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
        detail=_sentence(reply) or None,
        attr=attr if isinstance(attr, str) else None,
        retry_after=retry_after(reply.headers),
        origin=origin,
        scopes=reply.missing_scopes,
    )


def _sentence(reply: Reply) -> str:
    """The server's own words, unless they are a page or data."""
    only_detail = reply.detail or reply.is_page or reply.text.startswith(("{", "["))
    return (reply.detail if only_detail else reply.text)[:SHOWN].strip()
