"""WireExchange: headers, bodies and times of one request, without secrets, as the activity keeps and shows them.

`stored` makes the JSON value that is kept, `read` the value from it. What Burrow sends is shown by a list of the
headers that are known to be harmless: a server of the user's own may want its key in a header of any name.
"""

from __future__ import annotations

import shlex
from codecs import getincrementaldecoder
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from app.core.diagnostics.body_text import cleaned
from app.core.redaction import REDACTED, redact, redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.core.auth.http.trace import Attempt, Trace
    from app.core.fetcher import Wire

BODY_CHARACTERS = 64 * 1024
REFUSAL_CHARACTERS = 4 * 1024
# What is read beyond the part that is kept: a secret across the cut is recognised as a whole.
BEYOND_CUT = 8 * 1024
MOST_HEADERS = 100
HARMLESS_SENT = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "last-event-id",
        "mcp-method",
        "mcp-protocol-version",
        "transfer-encoding",
        "user-agent",
    }
)
"""Headers of requests whose values are shown, in lower case."""

Headers = tuple[tuple[str, str], ...]


class WireBody(NamedTuple):
    """The beginning of a body as text. `size` is that of the whole one in bytes; `text` is None for what is no text."""

    text: str | None
    size: int
    cut: bool = False


class WireAttempt(NamedTuple):
    """One time that the request was sent. Times are in milliseconds, `at` since it was asked for.

    `connect` is how long a new connection took, None when it is not known or one was used again. `head` is how long
    the beginning of the answer took. `renewal` is how long the renewal took that this answer caused, `renewal_failure`
    the name of its error. `status` is None without an answer, which `error` then explains.
    """

    at: float
    status: int | None
    protocol: str
    connect: float | None
    head: float | None
    sent: Headers
    received: Headers
    rule: str
    refusal: WireBody | None
    renewal: float | None
    renewal_failure: str
    error: str


class WireExchange(NamedTuple):
    """A request with its answer. `total` is in milliseconds. `sent` and `received` are None where they are not kept."""

    method: str
    url: str
    total: float | None
    attempts: tuple[WireAttempt, ...]
    sent: WireBody | None
    received: WireBody | None

    @property
    def queued(self) -> float | None:
        """Milliseconds until it was first sent; None when it never was."""
        return self.attempts[0].at if self.attempts else None

    @property
    def reading(self) -> float | None:
        """Milliseconds from the head of the last answer to its end."""
        last = self.attempts[-1] if self.attempts else None
        if last is None or last.head is None or self.total is None:
            return None
        return max(0.0, self.total - last.at - last.head)


def stored(method: str, wire: Wire) -> dict[str, Any]:
    """What is kept of a finished request: JSON values without secrets."""
    answer = wire.answer or (wire.trace.attempts[-1].body if wire.trace.attempts else b"")
    size = max(wire.answer_size, len(answer))
    return {
        "method": method,
        "url": redact_text(str(wire.url)),
        "total": _milliseconds(wire.ended - wire.trace.started),
        "attempts": _attempts(wire.trace),
        "sent": _body(wire.body, wire.body_size, BODY_CHARACTERS),
        "received": _body(answer, size, BODY_CHARACTERS),
    }


def stored_trace(method: str, url: str, trace: Trace, ended: float | None) -> dict[str, Any]:
    """The same for a request whose bodies are recorded elsewhere. `ended` is `time.monotonic()`."""
    total = None if ended is None else _milliseconds(ended - trace.started)
    return {"method": method, "url": redact_text(url), "total": total, "attempts": _attempts(trace)}


def read(value: Mapping[str, Any]) -> WireExchange | None:
    """The exchange that was stored; None for what is none, as in a data folder that another version wrote."""
    try:
        return WireExchange(
            str(value["method"]),
            str(value["url"]),
            _number(value.get("total")),
            tuple(map(_read_attempt, value["attempts"])),
            _read_body(value.get("sent")),
            _read_body(value.get("received")),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def as_json(exchange: WireExchange) -> dict[str, Any]:
    """An exchange as JSON values, with the names of its fields."""
    plain: dict[str, Any] = _plain(exchange)
    return plain


def as_curl(exchange: WireExchange) -> str:
    """A command for a POSIX shell that sends the request again. Secrets are left as `$TOKEN` for the user to put in."""
    parts = ["curl", "--request", exchange.method, _quoted(exchange.url)]
    sent = exchange.attempts[-1].sent if exchange.attempts else ()
    for name, value in sent:
        # curl counts the body itself, and decodes nothing that it did not ask for.
        if name.lower() in {"content-length", "host", "connection", "accept-encoding", "transfer-encoding"}:
            continue
        parts += ["--header", _quoted(f"{name}: {value}")]
    body = exchange.sent
    if body is not None and body.size and body.text is not None:
        parts += ["--data-raw", _quoted(body.text)]
    pairs = [" ".join(parts[:4])]
    pairs += [f"{flag} {value}" for flag, value in zip(parts[4::2], parts[5::2], strict=True)]
    return " \\\n  ".join(pairs)


def is_whole(exchange: WireExchange) -> bool:
    """Whether nothing of the address and of the body that was sent is missing or redacted."""
    body = exchange.sent
    complete = body is None or (not body.cut and REDACTED not in (body.text or ""))
    return complete and REDACTED not in exchange.url


def _plain(value: object) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _attempts(trace: Trace) -> list[dict[str, Any]]:
    return [
        _attempt(attempt, trace.started, last=number == len(trace.attempts))
        for number, attempt in enumerate(trace.attempts, 1)
    ]


def _attempt(attempt: Attempt, started: float, *, last: bool) -> dict[str, Any]:
    protocol = attempt.protocol
    return {
        "at": _milliseconds(attempt.started - started),
        "status": attempt.status,
        "protocol": protocol.decode("ascii", "replace") if isinstance(protocol, bytes) else str(protocol),
        "connect": None if attempt.connect_seconds is None else _milliseconds(attempt.connect_seconds),
        "head": None if attempt.headed is None else _milliseconds(attempt.headed - attempt.started),
        "sent": _headers(attempt.sent.raw, HARMLESS_SENT),
        "received": _headers(attempt.received or (), None),
        "rule": attempt.rule,
        # The last answer is kept as a whole.
        "refusal": None if last else _body(attempt.body, len(attempt.body), REFUSAL_CHARACTERS),
        "renewal": None if attempt.renewal_seconds is None else _milliseconds(attempt.renewal_seconds),
        "renewal_failure": attempt.renewal_failure,
        "error": attempt.error,
    }


def _headers(raw: Iterable[tuple[bytes, bytes]], harmless: frozenset[str] | None) -> list[list[str]]:
    pairs = []
    for encoded, content in tuple(raw)[:MOST_HEADERS]:
        name, value = encoded.decode("latin-1"), content.decode("utf-8", "replace")
        if harmless is None or name.lower() in harmless:
            value = str(redact({name: value}, limit=BODY_CHARACTERS).popitem()[1])
        elif name.lower() == "authorization":
            value = f"{value.partition(' ')[0]} {REDACTED}"
        else:
            value = REDACTED
        pairs.append([redact_text(name), value])
    return pairs


def _body(body: bytes, size: int, limit: int) -> dict[str, Any]:
    """`size` is that of the whole body, of which `body` is the beginning."""
    part = body[: limit + BEYOND_CUT]
    try:
        # The cut may be in the middle of a character.
        text = getincrementaldecoder("utf-8")().decode(part, final=len(part) == size)
    except UnicodeDecodeError:
        return {"text": None, "size": size, "cut": False}
    if "\0" in text or (size and not body):
        return {"text": None, "size": size, "cut": False}
    return {"text": cleaned(text, whole=len(part) == size)[:limit], "size": size, "cut": size > limit}


def _read_attempt(value: Mapping[str, Any]) -> WireAttempt:
    status = value.get("status")
    return WireAttempt(
        float(value["at"]),
        status if isinstance(status, int) else None,
        str(value.get("protocol", "")),
        _number(value.get("connect")),
        _number(value.get("head")),
        _read_headers(value.get("sent", ())),
        _read_headers(value.get("received", ())),
        str(value.get("rule", "")),
        _read_body(value.get("refusal")),
        _number(value.get("renewal")),
        str(value.get("renewal_failure", "")),
        str(value.get("error", "")),
    )


def _read_headers(value: Sequence[Sequence[str]]) -> Headers:
    return tuple((str(name), str(content)) for name, content in value)


def _read_body(value: Mapping[str, Any] | None) -> WireBody | None:
    if value is None:
        return None
    text = value.get("text")
    return WireBody(text if isinstance(text, str) else None, int(value.get("size", 0)), bool(value.get("cut")))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _quoted(text: str) -> str:
    """A word for a POSIX shell. Where a secret stood, the variable `TOKEN` is put in."""
    return '"$TOKEN"'.join(shlex.quote(part) if part else "" for part in text.split(REDACTED)) or "''"


class PhaseKind(Enum):
    """The parts of a request's time."""

    QUEUED = "queued"
    CONNECTING = "connecting"
    WAITING = "waiting"
    REFUSED = "refused"
    RENEWING = "renewing"
    READING = "reading"


class Phase(NamedTuple):
    """A part of a request's time, in milliseconds since it was asked for. `status` is that of the answer it ended with.

    `attempt` counts from 1, 0 for what comes before the first.
    """

    kind: PhaseKind
    at: float
    length: float
    attempt: int
    status: int | None = None


def phases(exchange: WireExchange) -> tuple[Phase, ...]:
    """Where the time of a request went, in order. An attempt without an answer waits until the next one or the end."""
    found: list[Phase] = []
    if exchange.queued:
        found.append(Phase(PhaseKind.QUEUED, 0.0, exchange.queued, 0))
    for number, attempt in enumerate(exchange.attempts, 1):
        last = number == len(exchange.attempts)
        following = exchange.total if last else exchange.attempts[number].at
        length = attempt.head if attempt.head is not None else max(0.0, (following or attempt.at) - attempt.at)
        at = attempt.at
        if attempt.connect is not None:
            connecting = min(attempt.connect, length)
            found.append(Phase(PhaseKind.CONNECTING, at, connecting, number))
            at, length = at + connecting, length - connecting
        refused = attempt.renewal is not None or attempt.renewal_failure != ""
        found.append(Phase(PhaseKind.REFUSED if refused else PhaseKind.WAITING, at, length, number, attempt.status))
        if attempt.renewal is not None:
            found.append(Phase(PhaseKind.RENEWING, at + length, attempt.renewal, number))
        if last and exchange.reading is not None and not refused:
            found.append(Phase(PhaseKind.READING, at + length, exchange.reading, number))
    return tuple(found)
