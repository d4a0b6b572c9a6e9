"""classify(reply) -> Verdict: what an answer says about the credential it was asked with.

One table for the shapes that docs/wire.md ("Error envelope", "Dead tokens", "Installation proxy", "The host's MCP
endpoint", "Intermediaries") and rows 41 to 50 of docs/faults.md describe. Pure: no I/O, no state. The first rule that
matches decides; each rule has a name that activity records and tests use.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from string import whitespace
from typing import TYPE_CHECKING, Any

from app.core.auth.http.challenges import read_challenges
from app.core.auth.http.target import CredentialAtStake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.core.auth.http.challenges import Challenge


class Verdict(Enum):
    """What to do about an answer.

    `RECOVERABLE_AUTH`: the carried token is dead. `AMBIGUOUS_AUTH`: that, or a vendor's behind the proxy; only the host
    can say which.
    """

    FINE = "fine"
    RECOVERABLE_AUTH = "recoverable-auth"
    AMBIGUOUS_AUTH = "ambiguous-auth"
    KEY_REFUSED = "key-refused"
    VENDOR_SIGN_IN = "vendor-sign-in"
    POLICY = "policy"
    PERMISSION = "permission"
    SCOPE = "scope"
    THROTTLED = "throttled"
    QUOTA = "quota"
    NOT_FOUND = "not-found"
    REJECTED = "rejected"
    TRANSIENT = "transient"
    NOT_OURS = "not-ours"


# Answers that only a server that took the token gives; what something on the way says proves nothing.
TOOK_THE_TOKEN = frozenset(Verdict) - {
    Verdict.RECOVERABLE_AUTH,
    Verdict.AMBIGUOUS_AUTH,
    Verdict.KEY_REFUSED,
    Verdict.TRANSIENT,
    Verdict.THROTTLED,
    Verdict.NOT_OURS,
}

VENDOR_SIGN_IN_ERRORS = frozenset({"Installation needs re-authentication", "No credentials configured"})
# The proxy says so of a vendor's credential, and servers have said so with 401 of the person's dead token too.
PROXY_REFUSED = "Authentication failed"
POLICY_ERRORS = frozenset(
    {
        "Server is disabled",
        "Server is disabled for this team",
        "Your access to this server has been turned off by an admin",
    }
)
UPSTREAM_UNREACHABLE = "Upstream MCP server unreachable"
UPSTREAM_ERRORS = frozenset({UPSTREAM_UNREACHABLE, "Upstream MCP server timed out"})
WRONG_KIND_OF_TOKEN = ("No token provided", "Invalid token, please provide")
PERSONAL_KEY_REFUSED = "Personal API key found"
DEAD_TOKEN = "authentication_failed"
AUTH_TYPE = "authentication_error"
USAGE_LIMIT = "rate_limited"
DEAD_TOKEN_WORDS = (DEAD_TOKEN.encode(), b"invalid_token")
OUR_SCHEMES = frozenset({"bearer", "dpop"})
TOKEN_PROBLEMS = frozenset({"invalid_request", "invalid_token", "insufficient_scope"})
SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
ENVELOPE = frozenset({"type", "code", "detail", "attr"})
SENTENCES = ("detail", "error_description", "error", "message")
PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml", "text/xml", "application/xml"})
BYTE_ORDER_MARK = "\ufeff"
# What is longer says something else than why a request failed.
LONGEST_BODY = 256 * 1024
# So many opening braces, from the end of a text, may be the beginning of the envelope that it ends in.
BRACES = 8


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# Numbers of any length cost nothing and fail nothing; NaN and Infinity are no JSON (RFC 8259 section 6).
JSON = json.JSONDecoder(parse_int=float, parse_constant=_no_number)


@dataclass(frozen=True)
class Reply:
    """The parts of an HTTP answer that decide. Header names are lower case; `body` is what was read so far."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    at_stake: CredentialAtStake = CredentialAtStake.CARRIED
    reports_own_auth: bool = False

    @cached_property
    def json(self) -> dict[str, Any] | None:
        """The body as a JSON object; None when it is anything else. A byte order mark is no part of it."""
        if len(self.body) > LONGEST_BODY:
            return None
        try:
            text = self.body.decode().removeprefix(BYTE_ORDER_MARK).strip()
        except UnicodeDecodeError:
            return None
        value = _decoded(text) if text.startswith("{") else None
        return value if isinstance(value, dict) else None

    @cached_property
    def code(self) -> str:
        """The error code of the Django envelope, empty when the body is no such envelope.

        Behind an installation's proxy stand vendors with codes of their own: there the envelope must be whole.
        """
        body = self.json or {}
        value = body.get("code")
        whole = self.at_stake is not CredentialAtStake.VENDOR_BEHIND or body.keys() >= ENVELOPE
        return value if isinstance(value, str) and whole else ""

    @cached_property
    def detail(self) -> str:
        """The server's own sentence, whatever field it stands in, also of an `error` that is an object."""
        body = self.json or {}
        for place in (body, body.get("error")):
            for name in SENTENCES:
                value = place.get(name) if isinstance(place, dict) else None
                if isinstance(value, str) and value:
                    return value
        return ""

    @cached_property
    def proxy_error(self) -> str:
        """The `error` of an installation proxy's own `{"error": …}` body."""
        value = (self.json or {}).get("error")
        return value if isinstance(value, str) and not self.code else ""

    @cached_property
    def text(self) -> str:
        return self.body[:2_000].decode("utf-8", "replace").lstrip(BYTE_ORDER_MARK + whitespace)

    @cached_property
    def is_page(self) -> bool:
        """Whether an intermediary's page stands where data should be (docs/wire.md, "Intermediaries")."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind in PAGE_TYPES or self.text.startswith(("<", "error code: 1")) or "cf-mitigated" in self.headers

    @cached_property
    def challenges(self) -> tuple[Challenge, ...]:
        return read_challenges(self.headers.get("www-authenticate", ""))

    @cached_property
    def other_schemes_only(self) -> bool:
        """Whether the challenge asks for something else than a token."""
        return bool(self.challenges) and not any(one.scheme in OUR_SCHEMES for one in self.challenges)

    @cached_property
    def problems(self) -> tuple[Mapping[str, str], ...]:
        """What is wrong with the token (RFC 6750 section 3.1): of each challenge, else of the JSON body."""
        told = [one.parameters for one in self.challenges if one.scheme in OUR_SCHEMES and "error" in one.parameters]
        if not told:
            told = [{name: value for name, value in (self.json or {}).items() if isinstance(value, str)}]
        return tuple(one for one in told if one.get("error") in TOKEN_PROBLEMS)

    @cached_property
    def missing_scopes(self) -> tuple[str, ...]:
        """The scopes that an `insufficient_scope` asks for (RFC 6750 section 3), in their order.

        None of an installation's: a vendor's scopes cannot be had from the person's own grant.
        """
        if not self.has("insufficient_scope") or self.at_stake is CredentialAtStake.VENDOR_BEHIND:
            return ()
        named = [problem.get("scope", "") for problem in self.problems if problem["error"] == "insufficient_scope"]
        scopes = " ".join(named).split()
        return tuple(dict.fromkeys(scope for scope in scopes if SCOPE_TOKEN.fullmatch(scope)))

    def has(self, problem: str) -> bool:
        """Whether the server names this problem of RFC 6750 section 3.1."""
        return any(one["error"] == problem for one in self.problems)

    @property
    def type(self) -> str:
        value = (self.json or {}).get("type")
        return value if isinstance(value, str) else ""

    @property
    def refused(self) -> bool:
        return self.status in {401, 403}

    @property
    def says_dead_token(self) -> bool:
        """Whether the envelope says so, by its code: its type is that of every missing permission too."""
        return self.code == DEAD_TOKEN


@dataclass(frozen=True)
class Rule:
    """One row of the table."""

    name: str
    verdict: Verdict
    matches: Callable[[Reply], bool]


def _vendor_side(reply: Reply) -> bool:
    return reply.at_stake is CredentialAtStake.VENDOR_BEHIND


def _says_vendor(reply: Reply) -> bool:
    """Whether the proxy's own words can only be about the vendor's credential."""
    only_theirs = reply.status == 403 and reply.proxy_error == PROXY_REFUSED
    return only_theirs or reply.proxy_error in VENDOR_SIGN_IN_ERRORS


RULES: tuple[Rule, ...] = (
    Rule("jsonrpc-auth", Verdict.RECOVERABLE_AUTH, lambda r: r.status == 200 and jsonrpc_auth_failure(r)),
    Rule("success", Verdict.FINE, lambda r: r.status < 300),
    Rule("proxy-authentication", Verdict.NOT_OURS, lambda r: r.status == 407),
    Rule(
        "insufficient-scope",
        Verdict.SCOPE,
        lambda r: r.refused and r.has("insufficient_scope") and not _vendor_side(r),
    ),
    Rule(
        "custom-server-refused",
        Verdict.NOT_OURS,
        lambda r: r.at_stake is CredentialAtStake.UNMANAGED and (r.status == 401 or (r.refused and r.says_dead_token)),
    ),
    Rule(
        "personal-key-refused",
        Verdict.KEY_REFUSED,
        lambda r: r.refused and r.says_dead_token and r.detail.startswith(PERSONAL_KEY_REFUSED),
    ),
    Rule("envelope-authentication-failed", Verdict.RECOVERABLE_AUTH, lambda r: r.refused and r.says_dead_token),
    Rule("usage-limit", Verdict.QUOTA, lambda r: r.status == 402 or (r.status in {403, 429} and r.type == USAGE_LIMIT)),
    Rule("throttled", Verdict.THROTTLED, lambda r: r.status == 429),
    Rule("permission-denied", Verdict.PERMISSION, lambda r: r.refused and r.code == "permission_denied"),
    Rule(
        "vendor-credential",
        Verdict.VENDOR_SIGN_IN,
        lambda r: _vendor_side(r) and r.refused and _says_vendor(r),
    ),
    Rule(
        "server-disabled",
        Verdict.POLICY,
        lambda r: _vendor_side(r) and r.status == 403 and r.proxy_error in POLICY_ERRORS,
    ),
    Rule(
        "upstream-down",
        Verdict.TRANSIENT,
        lambda r: _vendor_side(r) and r.status >= 500 and r.proxy_error in UPSTREAM_ERRORS,
    ),
    Rule("ambiguous-401", Verdict.AMBIGUOUS_AUTH, lambda r: _vendor_side(r) and r.status == 401),
    Rule("other-scheme", Verdict.NOT_OURS, lambda r: r.status == 401 and r.other_schemes_only),
    Rule(
        "bad-request",
        Verdict.NOT_OURS,
        lambda r: r.status == 401 and r.has("invalid_request") and not r.has("invalid_token"),
    ),
    Rule(
        "wrong-kind-of-token", Verdict.KEY_REFUSED, lambda r: r.status == 401 and r.text.startswith(WRONG_KIND_OF_TOKEN)
    ),
    Rule("unauthorized", Verdict.RECOVERABLE_AUTH, lambda r: r.status == 401),
    Rule("intermediary-403", Verdict.TRANSIENT, lambda r: r.status == 403 and r.is_page),
    Rule("forbidden", Verdict.PERMISSION, lambda r: r.status == 403),
    Rule("not-found", Verdict.NOT_FOUND, lambda r: r.status in {404, 410}),
    Rule("server-error", Verdict.TRANSIENT, lambda r: r.status >= 500),
    Rule("redirect", Verdict.NOT_OURS, lambda r: r.status < 400),
    Rule("rejected", Verdict.REJECTED, lambda r: True),
)


def classify(reply: Reply) -> tuple[Verdict, str]:
    """The verdict on an answer and the name of the rule that gave it."""
    for rule in RULES:
        if rule.matches(reply):
            return rule.verdict, rule.name
    raise AssertionError("the last rule matches everything")


def jsonrpc_auth_failure(reply: Reply) -> bool:
    """Whether a 200 carries a JSON-RPC failure of the person's own token (docs/wire.md, "Dead tokens"; faults row 47).

    Only on targets whose credential is the person's and only by structure: an error that refuses the token, or, where
    the server is known to report its own authentication in tool results, a result with `isError` whose structured
    content *is* the Django envelope, or whose text is or ends in it. A result that merely mentions the words is data.
    """
    if reply.at_stake is not CredentialAtStake.CARRIED or not any(word in reply.body for word in DEAD_TOKEN_WORDS):
        return False
    message = reply.json
    if message is None or message.get("jsonrpc") != "2.0":
        return False
    error = message.get("error")
    if isinstance(error, dict):
        return refuses_token(error.get("data"), error.get("message"))
    result = message.get("result")
    if not reply.reports_own_auth or not isinstance(result, dict) or result.get("isError") is not True:
        return False
    content = result.get("content")
    return _is_auth_envelope(result.get("structuredContent")) or (
        isinstance(content, list)
        and any(
            isinstance(block, dict) and block.get("type") == "text" and _ends_in_auth_envelope(block.get("text"))
            for block in content
        )
    )


def refuses_token(data: object, message: object) -> bool:
    """Whether the `data` and `message` of a JSON-RPC error say that the bearer token is dead.

    `data` is the Django envelope or RFC 6750's `{"error": "invalid_token"}`, or either of them ends in that envelope.
    A code of JSON-RPC says nothing: -32001 is also a tool that waits for approval.
    """
    return (
        _is_auth_envelope(data)
        or (isinstance(data, dict) and data.get("error") == "invalid_token")
        or _ends_in_auth_envelope(data)
        or _ends_in_auth_envelope(message)
    )


def _is_auth_envelope(value: object) -> bool:
    return isinstance(value, dict) and (value.get("type"), value.get("code")) == (AUTH_TYPE, DEAD_TOKEN)


def _ends_in_auth_envelope(text: object) -> bool:
    """Whether the last JSON object of a text stands at its end and is the envelope."""
    if not isinstance(text, str) or not text.rstrip().endswith("}"):
        return False
    start = len(text)
    for _ in range(BRACES):
        start = text.rfind("{", 0, start)
        if start < 0:
            return False
        value = _decoded(text[start:].rstrip())
        if value is not None:
            return _is_auth_envelope(value)
    return False


def _decoded(text: str) -> object:
    """The JSON value that `text` is, None when it is none."""
    try:
        return JSON.decode(text)
    except (ValueError, RecursionError):
        return None
