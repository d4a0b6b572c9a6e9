"""All errors that the user can meet: a title, the cause, what to do, and whether a retry can help.

The family is small and closed. Code branches on the type, never on a message. The server's own explanation is in
`Facts.detail` (docs/wire.md, "Error envelope"), so that a window can show it too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from app.core.redaction import redact_text
from app.marks import revealed

if TYPE_CHECKING:
    from datetime import datetime

# What servers say is shown as far as a person reads. A longer text is cut before secrets are looked for in it.
LONGEST_TEXT = 3_000
LONGEST_NAME = 200
LONGEST_SEARCHED = 8 * LONGEST_TEXT


@dataclass(frozen=True)
class ReachedLimit:
    """The limit of use that an account has reached.

    `kind` is the server's word (`burst`, `sustained`), empty if it gave none. `resets_at` has a time zone. `paid` says
    whether the account has a paid plan already; None where the server does not say.
    """

    kind: str = ""
    resets_at: datetime | None = None
    paid: bool | None = None


@dataclass(frozen=True)
class Facts:
    """What the server said, for display, logs and decisions.

    - `code` is the server's error code, or one of Burrow's own. `attr` is the name of the field that is wrong.
    - `retry_after` is in seconds.
    - `origin` is scheme, host and port of the server, never a full URL.
    - `scopes` are those that the token lacks, in the server's order (RFC 6750 section 3).
    - `credential` is the text of the key of the credential that the error is about (`auth/key.py`).
    - `limit` is the limit that was reached; `missing_files` are the ids of files that the server does not have.
    """

    status: int | None = None
    code: str | None = None
    detail: str | None = None
    attr: str | None = None
    retry_after: float | None = None
    origin: str | None = None
    scopes: tuple[str, ...] = ()
    credential: str | None = None
    limit: ReachedLimit | None = None
    missing_files: tuple[str, ...] = ()


class BurrowError(Exception):
    """The base of the family.

    `title` is a short heading. `cause` says what happened, `advice` what the user can do: `action`, unless the error
    has an action of its own. With `retryable` the same request may succeed later without anybody's help. `exit_code` is
    that of the command line.
    """

    title: ClassVar[str] = "Something went wrong"
    action: ClassVar[str] = "Try again."
    retryable: ClassVar[bool] = False
    exit_code: int = 1

    def __init__(self, cause: str = "", facts: Facts | None = None, *, action: str | None = None) -> None:
        redacted = _shown(cause)
        super().__init__(redacted)
        self.facts = _bounded(facts or Facts())
        self.cause = redacted or self.facts.detail or self.title
        self.advice = _shown(action) if action else self.action

    def __str__(self) -> str:
        return self.cause


def _bounded(facts: Facts) -> Facts:
    """`facts` with texts of bounded length that can be printed, and without secrets."""
    if facts.detail is None and facts.code is None and facts.attr is None:
        return facts
    # Servers quote what they were sent, and name signed URLs.
    return replace(
        facts,
        detail=None if facts.detail is None else _shown(facts.detail),
        code=None if facts.code is None else _cut(facts.code, LONGEST_NAME),
        attr=None if facts.attr is None else _cut(facts.attr, LONGEST_NAME),
    )


def _shown(text: str) -> str:
    # Servers' words are a part of it, and it is shown on the terminal too.
    return _cut(revealed(_cut(redact_text(_cut(text, LONGEST_SEARCHED)), LONGEST_TEXT)), LONGEST_TEXT)


def _cut(text: str, length: int) -> str:
    """`text` of at most `length` characters; half of a surrogate pair, which cannot be printed, is replaced."""
    if len(text) > length:
        text = f"{text[: length - 1]}…"
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


class Offline(BurrowError):
    """No connection could be made: DNS failed, refused, unreachable, or reset before anything was sent."""

    title = "Offline"
    action = "Saved data stays readable; Burrow tries again by itself."
    retryable = True
    exit_code = 6


class NotConnectable(Offline):
    """No connection can be made before the user changes something. Nothing was sent."""


class CertificateRefused(NotConnectable):
    """The server's certificate was not accepted, or TLS failed in another way. Nothing was sent."""

    title = "No secure connection"
    action = "Check the address, this machine's clock, and which certificates this machine trusts."


class ProxyUnusable(NotConnectable):
    """A proxy that the environment names cannot be used. Nothing was sent."""

    title = "The proxy cannot be used"
    action = "Correct the variable, or exclude the host with NO_PROXY, and start Burrow again."
    retryable = False


class TimedOut(BurrowError):
    """The server did not answer in time."""

    title = "No answer in time"
    action = "Try again; if it keeps happening, check the server."
    retryable = True
    exit_code = 6


class ServerTrouble(BurrowError):
    """5xx, a page instead of data, or a response that is cut off. Never a reason to end a grant."""

    title = "Server error"
    action = "Try again in a moment."
    retryable = True
    exit_code = 6


class OutcomeUnknown(BurrowError):
    """A request with side effects was sent, and it is unknown whether it was carried out (faults row 55)."""

    title = "Sent, outcome unknown"
    action = "Check whether it took effect before sending it again."
    exit_code = 6


class Throttled(BurrowError):
    """429: too many requests. `facts.retry_after` says how long to wait."""

    title = "Too many requests"
    action = "Wait a moment and try again."
    retryable = True
    exit_code = 6


class SignInNeeded(BurrowError):
    """There is no grant: its refresh was refused, or the user is not signed in."""

    title = "Sign in again to keep going"
    action = "Sign in; drafts and waiting work are kept."
    exit_code = 3


class SignedOutHereOnly(BurrowError):
    """The grant was deleted here, and the server could not be told: what it issued stays valid until it expires."""

    title = "Signed out on this computer only"
    action = "Remove Burrow from the connected applications in your account's settings there."


class VaultTrouble(BurrowError):
    """The keyring is absent, locked or unreadable. Nothing in it was changed."""

    title = "The keyring cannot be used"
    action = "Unlock the keyring and try again, or keep this sign-in in memory only."
    exit_code = 3


class PermissionMissing(BurrowError):
    """403 with `permission_denied` or `insufficient_scope`: signed in, but not allowed."""

    title = "Not permitted"
    action = "Ask an administrator, or sign in with an account that may do this."
    exit_code = 4


class QuotaReached(BurrowError):
    """402, or a usage limit of the account is reached."""

    title = "A limit of the account is reached"
    action = "See the plan and usage page of the account."
    exit_code = 4


class NotFound(BurrowError):
    """404: it does not exist, or this account may not see it."""

    title = "Not found"
    action = "It may have been deleted, or belongs to another project."
    exit_code = 5


class Rejected(BurrowError):
    """The server, or Burrow before it sent anything, refused the input. `facts.attr` names the field."""

    title = "Not accepted"
    action = "Change the value and send it again."
    exit_code = 2


class SignInRefused(Rejected):
    """The authorization server refused a request that Burrow made by itself: no input of the user is at fault.

    `exit_code` depends on what the refusal means.
    """

    title = "The sign-in was refused"
    action = "Ask whoever runs the server; the sign-in details say what was asked."

    def __init__(
        self, cause: str = "", facts: Facts | None = None, *, action: str | None = None, exit_code: int = 1
    ) -> None:
        super().__init__(cause, facts, action=action)
        self.exit_code = exit_code


class PolicyRefused(BurrowError):
    """A tool is blocked or needs approval (-32001, -32002), or the MCP server is disabled."""

    title = "Stopped by policy"
    action = "Change the tool's policy on the server's page if you may."
    exit_code = 7


class VendorSignInNeeded(BurrowError):
    """The vendor's credential behind an installed MCP server failed. The user's own sign-in is fine."""

    title = "Reconnect this server"
    action = "Open the server's page and connect it again."
    # Not that of `SignInNeeded`: a script that answers it with `burrow login` would loop.
    exit_code = 8


class ProtocolTrouble(BurrowError):
    """A response that violates its protocol: wrong types, an unknown JSON-RPC error, an unsupported revision."""

    title = "The server's answer is invalid"
    action = "Report it to whoever runs the server; the raw answer is in the activity."


class UpdateRefused(BurrowError):
    """An update, or what the repository of updates says, is not what its owner signed for this installation."""

    title = "The update was refused"
    action = "This version goes on working. If it keeps happening, get the new version from where you got this one."
    exit_code = 9


class StorageTrouble(BurrowError):
    """Burrow's own files cannot be read or written."""

    title = "Burrow cannot write its data"
    action = "Free some disk space or check the folder's permissions."
