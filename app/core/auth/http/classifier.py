"""classify(reply) -> Verdict: what a response says about the credential that the request carried.

One table for the formats that docs/wire.md ("Error envelope", "Dead tokens", "Installation proxy", "The host's MCP
endpoint", "Intermediaries") and rows 41 to 50 of docs/faults.md describe. It is pure: no I/O, no state. The first rule
that matches decides. Activity records and tests use the rules' names.
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
from app.core.wire_text import mended_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.core.auth.http.challenges import Challenge


class Verdict(Enum):
    """What a response means for the request.

    - `RECOVERABLE_AUTH`: the carried token is dead. A refresh helps.
    - `AMBIGUOUS_AUTH`: the carried token is dead, or the vendor's behind the proxy. Only the host can say which.
    - `KEY_REFUSED`: the carried token is refused, and it is none that can be refreshed.
    - `VENDOR_SIGN_IN`: the credential of the vendor behind the proxy is dead.
    - `POLICY`: the server or the tool is disabled. `PERMISSION`, `SCOPE`: the user or the token may not do this.
    - `THROTTLED`, `QUOTA`: too many requests now, or too much used.
    - `TRANSIENT`: a failure that may pass. `NOT_OURS`: about something else than the carried credential.
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


# Verdicts on responses that only a server that accepted the token gives. What an intermediary may send proves nothing.
TOKEN_ACCEPTED = frozenset(Verdict) - {
    Verdict.RECOVERABLE_AUTH,
    Verdict.AMBIGUOUS_AUTH,
    Verdict.KEY_REFUSED,
    Verdict.TRANSIENT,
    Verdict.THROTTLED,
    Verdict.NOT_OURS,
}

VENDOR_SIGN_IN_ERRORS = frozenset({"Installation needs re-authentication", "No credentials configured"})
# The proxy says this about the vendor's credential. With 401, hosts have also said it about the user's own dead token.
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
DEAD_TOKEN_CODE = "authentication_failed"
AUTH_ERROR_TYPE = "authentication_error"
USAGE_LIMIT_TYPE = "rate_limited"
# Limits that do not pass by waiting a moment, by their codes: not every one of them has that type.
USAGE_LIMIT_CODES = frozenset({"usage_limit_exceeded", "billing_limit", "signal_report_task_cap"})
DEAD_TOKEN_MARKER = DEAD_TOKEN_CODE.encode()
INVALID_TOKEN = b"invalid_token"
TOKEN_SCHEMES = frozenset({"bearer", "dpop"})
TOKEN_ERRORS = frozenset({"invalid_request", "invalid_token", "insufficient_scope"})
SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
ENVELOPE_FIELDS = frozenset({"type", "code", "detail", "attr"})
DETAIL_FIELDS = ("detail", "error_description", "error", "message")
PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml", "text/xml", "application/xml"})
BYTE_ORDER_MARK = "\ufeff"
# A longer body explains no error.
LONGEST_BODY = 256 * 1024
# How many opening braces, counted from the end of a text, are tried as the start of the envelope that the text ends in.
MAX_BRACES = 8


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# Bodies come from strangers. `float` parses a number of any length quickly, where `int` raises for a long one. NaN and
# Infinity are not JSON (RFC 8259 section 6).
JSON = json.JSONDecoder(parse_int=float, parse_constant=_refuse_constant)


@dataclass(frozen=True)
class Reply:
    """The parts of an HTTP response that decide. Header names are lower case. `body` is what was read so far."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    at_stake: CredentialAtStake = CredentialAtStake.CARRIED
    reports_own_auth: bool = False

    @cached_property
    def json(self) -> dict[str, Any] | None:
        """The body as a JSON object; None when it is anything else. It is mended first (`mended_json`)."""
        if len(self.body) > LONGEST_BODY:
            return None
        try:
            text = mended_json(self.body).decode().strip()
        except UnicodeDecodeError:
            return None
        value = _decoded(text) if text.startswith("{") else None
        return value if isinstance(value, dict) else None

    @cached_property
    def code(self) -> str:
        """The error code of the host's error envelope; empty when the body is no such envelope."""
        body = self.json or {}
        value = body.get("code")
        # Vendors behind an installation's proxy have a `code` of their own, so there the envelope must be complete.
        complete = self.at_stake is not CredentialAtStake.VENDOR_BEHIND or body.keys() >= ENVELOPE_FIELDS
        return value if isinstance(value, str) and complete else ""

    @cached_property
    def detail(self) -> str:
        """The server's own explanation, in whichever field it is, also inside an `error` object."""
        body = self.json or {}
        for holder in (body, body.get("error")):
            for name in DETAIL_FIELDS:
                value = holder.get(name) if isinstance(holder, dict) else None
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
        """The beginning of the body as text."""
        return self.body[:2_000].decode("utf-8", "replace").lstrip(BYTE_ORDER_MARK + whitespace)

    @cached_property
    def is_page(self) -> bool:
        """Whether the body is an intermediary's page instead of data (docs/wire.md, "Intermediaries")."""
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return (
            media_type in PAGE_TYPES or self.text.startswith(("<", "error code: 1")) or "cf-mitigated" in self.headers
        )

    @cached_property
    def challenges(self) -> tuple[Challenge, ...]:
        return read_challenges(self.headers.get("www-authenticate", ""))

    @cached_property
    def other_schemes_only(self) -> bool:
        """Whether the challenges ask for something else than a token."""
        return bool(self.challenges) and not any(one.scheme in TOKEN_SCHEMES for one in self.challenges)

    @cached_property
    def token_errors(self) -> tuple[Mapping[str, str], ...]:
        """The parameters of each challenge with a token error (RFC 6750 section 3.1); without one, the JSON body's."""
        found = [one.parameters for one in self.challenges if one.scheme in TOKEN_SCHEMES and "error" in one.parameters]
        if not found:
            found = [{name: value for name, value in (self.json or {}).items() if isinstance(value, str)}]
        return tuple(one for one in found if one.get("error") in TOKEN_ERRORS)

    @cached_property
    def missing_scopes(self) -> tuple[str, ...]:
        """The scopes that an `insufficient_scope` asks for (RFC 6750 section 3), in their order."""
        # The scopes of a vendor behind the proxy cannot be granted by the host.
        if not self.has_error("insufficient_scope") or self.at_stake is CredentialAtStake.VENDOR_BEHIND:
            return ()
        named = [error.get("scope", "") for error in self.token_errors if error["error"] == "insufficient_scope"]
        scopes = " ".join(named).split()
        return tuple(dict.fromkeys(scope for scope in scopes if SCOPE_TOKEN.fullmatch(scope)))

    def has_error(self, error: str) -> bool:
        """Whether the server names this token error of RFC 6750 section 3.1."""
        return any(one["error"] == error for one in self.token_errors)

    @property
    def type(self) -> str:
        """The error type of the envelope."""
        value = (self.json or {}).get("type")
        return value if isinstance(value, str) else ""

    @property
    def refused(self) -> bool:
        """Whether the status refuses the request for a reason of authorization."""
        return self.status in {401, 403}

    @property
    def says_dead_token(self) -> bool:
        """Whether the envelope says that the token is dead."""
        # By its code: the type is the same for every missing permission.
        return self.code == DEAD_TOKEN_CODE


@dataclass(frozen=True)
class Rule:
    """One row of the table."""

    name: str
    verdict: Verdict
    matches: Callable[[Reply], bool]


def _vendor_side(reply: Reply) -> bool:
    return reply.at_stake is CredentialAtStake.VENDOR_BEHIND


def _names_vendor(reply: Reply) -> bool:
    """Whether the proxy's own error can only be about the vendor's credential."""
    refused_by_vendor = reply.status == 403 and reply.proxy_error == PROXY_REFUSED
    return refused_by_vendor or reply.proxy_error in VENDOR_SIGN_IN_ERRORS


# The order is part of the rules: a rule may assume that no rule before it matched.
RULES: tuple[Rule, ...] = (
    # The only failure inside a 200, hence before `success`.
    Rule("jsonrpc-auth", Verdict.RECOVERABLE_AUTH, lambda r: r.status == 200 and jsonrpc_auth_failure(r)),
    Rule("success", Verdict.FINE, lambda r: r.status < 300),
    # A proxy of the network asks for its own credential (RFC 9110 section 15.5.8).
    Rule("proxy-authentication", Verdict.NOT_OURS, lambda r: r.status == 407),
    # Before every rule that leads to a refresh: a refresh cannot add scopes.
    Rule(
        "insufficient-scope",
        Verdict.SCOPE,
        lambda r: r.refused and r.has_error("insufficient_scope") and not _vendor_side(r),
    ),
    # Nothing that Burrow refreshes was sent, so nothing below may conclude that it is dead.
    Rule(
        "custom-server-refused",
        Verdict.NOT_OURS,
        lambda r: r.at_stake is CredentialAtStake.UNMANAGED and (r.status == 401 or (r.refused and r.says_dead_token)),
    ),
    # Before the envelope's rule: a refused key has the same code, and only the detail tells it from a dead token.
    Rule(
        "personal-key-refused",
        Verdict.KEY_REFUSED,
        lambda r: r.refused and r.says_dead_token and r.detail.startswith(PERSONAL_KEY_REFUSED),
    ),
    # The host's own words about our token, with 401 or 403, also in the place of a vendor behind the proxy.
    Rule("envelope-authentication-failed", Verdict.RECOVERABLE_AUTH, lambda r: r.refused and r.says_dead_token),
    # Before `throttled`: some limits are reported with 429 and do not pass by waiting.
    Rule(
        "usage-limit",
        Verdict.QUOTA,
        lambda r: (
            r.status == 402 or (r.status in {403, 429} and (r.type == USAGE_LIMIT_TYPE or r.code in USAGE_LIMIT_CODES))
        ),
    ),
    Rule("throttled", Verdict.THROTTLED, lambda r: r.status == 429),
    Rule("permission-denied", Verdict.PERMISSION, lambda r: r.refused and r.code == "permission_denied"),
    # The proxy's own errors. Before the general rules for 401, 403 and 5xx, which know nothing of a vendor.
    Rule(
        "vendor-credential",
        Verdict.VENDOR_SIGN_IN,
        lambda r: _vendor_side(r) and r.refused and _names_vendor(r),
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
    # Every other 401 behind the proxy, whatever its challenge: it may be the vendor's own response, passed on.
    Rule("ambiguous-401", Verdict.AMBIGUOUS_AUTH, lambda r: _vendor_side(r) and r.status == 401),
    # From here on a 401 is about the carried token, unless it asks for another scheme or calls the request malformed.
    Rule("other-scheme", Verdict.NOT_OURS, lambda r: r.status == 401 and r.other_schemes_only),
    Rule(
        "bad-request",
        Verdict.NOT_OURS,
        lambda r: r.status == 401 and r.has_error("invalid_request") and not r.has_error("invalid_token"),
    ),
    Rule(
        "wrong-kind-of-token", Verdict.KEY_REFUSED, lambda r: r.status == 401 and r.text.startswith(WRONG_KIND_OF_TOKEN)
    ),
    Rule("unauthorized", Verdict.RECOVERABLE_AUTH, lambda r: r.status == 401),
    # A 403 with a page comes from a firewall or a content network, not from the API.
    Rule("intermediary-403", Verdict.TRANSIENT, lambda r: r.status == 403 and r.is_page),
    Rule("forbidden", Verdict.PERMISSION, lambda r: r.status == 403),
    Rule("not-found", Verdict.NOT_FOUND, lambda r: r.status in {404, 410}),
    Rule("server-error", Verdict.TRANSIENT, lambda r: r.status >= 500),
    Rule("redirect", Verdict.NOT_OURS, lambda r: r.status < 400),
    Rule("rejected", Verdict.REJECTED, lambda r: True),
)


def classify(reply: Reply) -> tuple[Verdict, str]:
    """The verdict on a response, and the name of the rule that matched."""
    for rule in RULES:
        if rule.matches(reply):
            return rule.verdict, rule.name
    raise AssertionError("the last rule matches everything")


def jsonrpc_auth_failure(reply: Reply) -> bool:
    """Whether a 200 has a JSON-RPC failure about the carried token (docs/wire.md, "Dead tokens"; faults row 47).

    That is an error which refuses the token. Where the server is known to report its own authentication in tool
    results, it is also a result with `isError` whose structured content is the error envelope, or whose text is or ends
    in it. Only the structure counts: a result that merely mentions the words is data.
    """
    # The search in the raw body spares nearly every response the parsing.
    body = reply.body
    if reply.at_stake is not CredentialAtStake.CARRIED or not (DEAD_TOKEN_MARKER in body or INVALID_TOKEN in body):
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

    That is so if `data` is the error envelope or RFC 6750's `{"error": "invalid_token"}`, or if either text ends in the
    envelope. The JSON-RPC code says nothing: -32001 is also that of a tool that waits for approval.
    """
    return (
        _is_auth_envelope(data)
        or (isinstance(data, dict) and data.get("error") == "invalid_token")
        or _ends_in_auth_envelope(data)
        or _ends_in_auth_envelope(message)
    )


def _is_auth_envelope(value: object) -> bool:
    return isinstance(value, dict) and (value.get("type"), value.get("code")) == (AUTH_ERROR_TYPE, DEAD_TOKEN_CODE)


def _ends_in_auth_envelope(text: object) -> bool:
    """Whether a text ends in a JSON object that is the envelope."""
    if not isinstance(text, str) or not text.rstrip().endswith("}"):
        return False
    # From the last opening brace backwards. The first one from which the rest is valid JSON begins the last object of
    # the text: inside an object the rest has a brace too many.
    start = len(text)
    for _ in range(MAX_BRACES):
        start = text.rfind("{", 0, start)
        if start < 0:
            return False
        value = _decoded(text[start:].rstrip())
        if value is not None:
            return _is_auth_envelope(value)
    return False


def _decoded(text: str) -> object:
    """The JSON value of `text`; None when it is no JSON."""
    try:
        return JSON.decode(text)
    except (ValueError, RecursionError):
        return None
