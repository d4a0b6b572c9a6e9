"""classify(reply) -> Verdict: what an answer says about the credential it was asked with.

One table for every shape that contract sections 2.1 to 2.7 and rows 41 to 50 of the fault matrix describe. Pure: no
I/O, no state. The first rule that matches decides; each rule has a name that activity records and tests use.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class CredentialOwner(Enum):
    """Whose credential an answer can complain about.

    `PERSON`: only the person's own token is at stake. `INSTALLATION`: the person's token opens the installation proxy
    and a vendor's credential stands behind it. `SERVER`: a custom server with a credential of its own.
    """

    PERSON = "person"
    INSTALLATION = "installation"
    SERVER = "server"


class Verdict(Enum):
    """What to do about an answer."""

    FINE = "fine"
    RECOVERABLE_AUTH = "recoverable-auth"
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


VENDOR_SIGN_IN_ERRORS = frozenset(
    {"Installation needs re-authentication", "No credentials configured", "Authentication failed"}
)
POLICY_ERRORS = frozenset(
    {
        "Server is disabled",
        "Server is disabled for this team",
        "Your access to this server has been turned off by an admin",
    }
)
UPSTREAM_ERRORS = ("Upstream MCP server unreachable", "Upstream MCP server timed out")
WRONG_KIND_OF_TOKEN = ("No token provided", "Invalid token, please provide")
PERSONAL_KEY_REFUSED = "Personal API key found"

AUTH_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][\w-]*)\s+(?=[\w-]+\s*=)|(?:^|,)\s*([A-Za-z][\w-]*)\s*(?=,|$)")
AUTH_PARAMETER = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


@dataclass(frozen=True)
class Reply:
    """The parts of an HTTP answer that decide. Header names are lower case; `body` is what was read so far."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    owner: CredentialOwner = CredentialOwner.PERSON
    reports_own_auth: bool = False

    @cached_property
    def json(self) -> dict[str, Any] | None:
        """The body as a JSON object; None when it is anything else."""
        text = self.body.strip()
        if not text.startswith(b"{"):
            return None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    @cached_property
    def code(self) -> str:
        """The error code of the Django envelope, empty when the body is no such envelope."""
        value = (self.json or {}).get("code")
        return value if isinstance(value, str) else ""

    @cached_property
    def detail(self) -> str:
        """The server's own sentence, whatever field it stands in."""
        for name in ("detail", "error_description", "error", "message"):
            value = (self.json or {}).get(name)
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
        return self.body[:2_000].decode("utf-8", "replace").lstrip()

    @cached_property
    def is_page(self) -> bool:
        """Whether an intermediary's page stands where data should be (contract section 2.6)."""
        kind = self.headers.get("content-type", "").lower()
        return "text/html" in kind or self.text.lower().startswith(("<!doctype", "<html", "error code: 1"))

    @cached_property
    def schemes(self) -> frozenset[str]:
        """Authentication schemes of the challenge, lower case."""
        challenge = self.headers.get("www-authenticate", "")
        return frozenset((one or two).lower() for one, two in AUTH_SCHEME.findall(challenge))

    @cached_property
    def challenge(self) -> dict[str, str]:
        """Parameters of the challenge (RFC 6750 section 3)."""
        found = AUTH_PARAMETER.findall(self.headers.get("www-authenticate", ""))
        return {name.lower(): quoted or bare for name, quoted, bare in found}

    @property
    def refused(self) -> bool:
        return self.status in {401, 403}


@dataclass(frozen=True)
class Rule:
    """One row of the table."""

    name: str
    verdict: Verdict
    matches: Callable[[Reply], bool]


def _vendor_side(reply: Reply) -> bool:
    return reply.owner is CredentialOwner.INSTALLATION


RULES: tuple[Rule, ...] = (
    Rule("jsonrpc-auth", Verdict.RECOVERABLE_AUTH, lambda r: r.status == 200 and jsonrpc_auth_failure(r)),
    Rule("success", Verdict.FINE, lambda r: r.status < 300),
    Rule("proxy-authentication", Verdict.NOT_OURS, lambda r: r.status == 407),
    Rule(
        "personal-key-refused",
        Verdict.KEY_REFUSED,
        lambda r: r.refused and r.code == "authentication_failed" and r.detail.startswith(PERSONAL_KEY_REFUSED),
    ),
    Rule(
        "envelope-authentication-failed",
        Verdict.RECOVERABLE_AUTH,
        lambda r: r.refused and r.code == "authentication_failed",
    ),
    Rule("usage-limit", Verdict.QUOTA, lambda r: r.status == 402 or (r.json or {}).get("type") == "rate_limited"),
    Rule("throttled", Verdict.THROTTLED, lambda r: r.status == 429),
    Rule("insufficient-scope", Verdict.SCOPE, lambda r: r.refused and r.challenge.get("error") == "insufficient_scope"),
    Rule("permission-denied", Verdict.PERMISSION, lambda r: r.refused and r.code == "permission_denied"),
    Rule(
        "vendor-credential",
        Verdict.VENDOR_SIGN_IN,
        lambda r: _vendor_side(r) and r.refused and r.proxy_error in VENDOR_SIGN_IN_ERRORS,
    ),
    Rule("server-disabled", Verdict.POLICY, lambda r: _vendor_side(r) and r.proxy_error in POLICY_ERRORS),
    Rule("upstream-down", Verdict.TRANSIENT, lambda r: _vendor_side(r) and r.proxy_error in UPSTREAM_ERRORS),
    Rule("vendor-401", Verdict.VENDOR_SIGN_IN, lambda r: _vendor_side(r) and r.status == 401),
    Rule("custom-server-401", Verdict.NOT_OURS, lambda r: r.owner is CredentialOwner.SERVER and r.status == 401),
    Rule(
        "other-scheme",
        Verdict.NOT_OURS,
        lambda r: r.status == 401 and bool(r.schemes) and not r.schemes & {"bearer", "dpop"},
    ),
    Rule("bad-request", Verdict.NOT_OURS, lambda r: r.status == 401 and r.challenge.get("error") == "invalid_request"),
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
    """Whether a 200 carries a JSON-RPC failure of the person's own token (contract section 2.3, faults row 47).

    Only on targets whose credential is the person's and only by structure: an error whose `data` or message *is* the
    Django envelope, or, where the server is known to report its own authentication in tool results, a result with
    `isError` whose text *is* that envelope or ends in it. A result that merely mentions the words is data.
    """
    if reply.owner is not CredentialOwner.PERSON or b"authentication_failed" not in reply.body:
        return False
    message = reply.json
    if message is None or message.get("jsonrpc") != "2.0":
        return False
    error = message.get("error")
    if isinstance(error, dict):
        data = error.get("data")
        return _is_auth_envelope(data) or _carries_auth_envelope(error.get("message"))
    result = message.get("result")
    if not reply.reports_own_auth or not isinstance(result, dict) or result.get("isError") is not True:
        return False
    content = result.get("content")
    return isinstance(content, list) and any(
        isinstance(block, dict) and block.get("type") == "text" and _carries_auth_envelope(block.get("text"))
        for block in content
    )


def _is_auth_envelope(value: object) -> bool:
    return isinstance(value, dict) and value.get("code") == "authentication_failed"


def _carries_auth_envelope(text: object) -> bool:
    if not isinstance(text, str):
        return False
    start = text.find("{")
    if start < 0:
        return False
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return False
    return _is_auth_envelope(value) and not text[end:].strip()
