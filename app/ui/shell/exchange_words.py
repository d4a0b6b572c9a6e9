"""A line of the activity in words: facts, headers, bodies, the parts of its time, and why it is not sent again.

The text of a page is HTML of which only this file writes the marks: everything else is escaped.
"""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QLocale

from app.core.diagnostics.body_text import pretty
from app.core.diagnostics.exchanges import PhaseKind
from app.core.replay import NotAgain
from app.marks import isolated, revealed
from app.ui import activity_words
from app.ui.translation import marked
from app.ui.widgets.times import absolute, duration, moment_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.core.diagnostics.activity import ActivityRecord
    from app.core.diagnostics.exchanges import Headers, Phase, WireAttempt, WireBody, WireExchange
    from app.core.replay import Comparison
    from app.ui.theme.tokens import Tone

PHASES: Mapping[PhaseKind, tuple[str, Tone]] = {
    PhaseKind.QUEUED: (marked("Exchange", "Queued"), "muted"),
    PhaseKind.CONNECTING: (marked("Exchange", "Connecting"), "info"),
    PhaseKind.WAITING: (marked("Exchange", "Waiting for the answer"), "accent"),
    PhaseKind.REFUSED: (marked("Exchange", "Waiting for the refusal"), "attention"),
    PhaseKind.RENEWING: (marked("Exchange", "Renewing the access token"), "good"),
    PhaseKind.READING: (marked("Exchange", "Reading the answer"), "info"),
}
NOT_AGAIN: Mapping[NotAgain, str] = {
    NotAgain.NO_REQUEST: marked("Exchange", "This is no request."),
    NotAgain.CHANGES: marked("Exchange", "Only a request that reads is sent again: this one may change something."),
    NotAgain.ANOTHER: marked("Exchange", "It was sent with a sign-in or to a server that is not in use."),
    NotAgain.INCOMPLETE: marked("Exchange", "A part of it is secret or is not kept."),
}
NOT_KEPT = marked("Exchange", "Headers, bodies and times of this line are not kept. Only the newest 16 MB are.")
NO_WIRE = marked("Exchange", "This line is no request: it has no headers and no body.")
NO_BODY = marked("Exchange", "No body.")

# A page of more, or of longer lines, takes longer than a moment to lay out.
SHOWN_CHARACTERS, SHOWN_LINES, LONGEST_LINE = 20_000, 600, 500

Rows = list[tuple[str, str]]


def phase_name(phase: Phase) -> str:
    """What happened in a part of the time."""
    name = _tr(PHASES[phase.kind][0])
    return f"{name} ({phase.status})" if phase.status is not None else name


def phase_tone(phase: Phase) -> Tone:
    return PHASES[phase.kind][1]


def why_not(reason: NotAgain) -> str:
    return _tr(NOT_AGAIN[reason])


def compared(comparison: Comparison) -> str:
    """How the answer to the repeated request compares with the recorded one."""
    if not comparison.same_status:
        return _tr("Answered {0} this time.").format(activity_words.outcome(comparison.record))
    words = {
        True: _tr("Answered the same as before."),
        False: _tr("Answered with another body."),
        None: _tr("Answered with the same status. The bodies cannot be compared."),
    }
    return words[comparison.same_body]


def facts(record: ActivityRecord, exchange: WireExchange | None) -> Rows:
    """The facts of a line by their names, without those that are empty."""
    rows = [
        (_tr("What"), activity_words.summary(record)),
        (_tr("Server"), activity_words.server(record)),
        (_tr("Answer"), activity_words.outcome(record)),
        (_tr("When"), absolute(moment_at(record.at))),
        (_tr("Took"), "" if record.milliseconds is None else duration(record.milliseconds / 1000)),
    ]
    if exchange is not None:
        rows += [
            (_tr("Address"), exchange.url),
            (_tr("Protocol"), exchange.attempts[-1].protocol if exchange.attempts else ""),
            (_tr("Sent"), size(exchange.sent.size) if exchange.sent is not None and exchange.sent.size else ""),
            (_tr("Received"), "" if exchange.received is None else size(exchange.received.size)),
        ]
    for name, key in ((_tr("Judged by the rule"), "rule"), (_tr("Error"), "error"), (_tr("Sign-in"), "sign_in")):
        value = record.detail.get(key)
        rows.append((name, value if isinstance(value, str) else ""))
    return [(name, value) for name, value in rows if value]


def overview(record: ActivityRecord, exchange: WireExchange | None) -> str:
    """The first page as HTML."""
    parts = [_table(facts(record, exchange))]
    if exchange is None:
        parts.append(_note(_tr(NO_WIRE if record.kind == "auth" else NOT_KEPT)))
        parts.append(_code(pretty(_as_json(record.detail))))
    elif len(exchange.attempts) > 1:
        steps = [line for number, attempt in enumerate(exchange.attempts, 1) for line in _steps(attempt, number)]
        items = "".join(f"<li>{_escaped(step)}</li>" for step in steps)
        parts.append(f"{_head(_tr('What happened'))}<ol>{items}</ol>")
    return "".join(parts)


def request_page(record: ActivityRecord, exchange: WireExchange | None) -> str:
    """The page of what was sent, as HTML."""
    if exchange is None:
        return _without(record, "request")
    sent = exchange.attempts[-1].sent if exchange.attempts else ()
    line = _code(f"{exchange.method} {exchange.url}")
    return line + _headers(sent) + _sent_or_detail(record, exchange.sent, "request")


def response_page(record: ActivityRecord, exchange: WireExchange | None) -> str:
    """The page of what came back: the last answer, then those that were refused before."""
    if exchange is None:
        return _without(record, "response")
    parts = []
    for number, attempt in reversed(list(enumerate(exchange.attempts, 1))):
        last = number == len(exchange.attempts)
        if not last:
            parts.append(_head(_tr("Attempt {0}").format(number)))
        parts.append(_code(" ".join(filter(None, (attempt.protocol, str(attempt.status or attempt.error or ""))))))
        parts.append(_headers(attempt.received))
        parts.append(_sent_or_detail(record, exchange.received, "response") if last else _body(attempt.refusal))
    return "".join(parts) or _note(_tr("Nothing came back."))


def size(count: int) -> str:
    """A number of bytes, such as `3.2 kB`."""
    return QLocale().formattedDataSize(count, 1, QLocale.DataSizeFormat.DataSizeSIFormat)


def as_line(record: ActivityRecord) -> str:
    """A line of the activity as one line of text."""
    took = "" if record.milliseconds is None else duration(record.milliseconds / 1000)
    words = (isolated(activity_words.summary(record)), activity_words.outcome(record), took)
    head = (absolute(moment_at(record.at)), record.kind, isolated(activity_words.server(record)))
    return "  ".join(part for part in (*head, *words) if part)


def _steps(attempt: WireAttempt, number: int) -> list[str]:
    rule = _tr(" (rule {0})").format(attempt.rule) if attempt.rule else ""
    if attempt.status is None:
        return [_tr("Attempt {0} got no answer: {1}.").format(number, attempt.error)]
    if attempt.renewal is not None:
        took = duration(attempt.renewal / 1000)
        return [
            _tr("Attempt {0} was refused with {1}{2}.").format(number, attempt.status, rule),
            _tr("The access token was renewed in {0}.").format(took),
        ]
    if attempt.renewal_failure:
        return [
            _tr("Attempt {0} was refused with {1}{2}.").format(number, attempt.status, rule),
            _tr("The access token could not be renewed: {0}.").format(attempt.renewal_failure),
        ]
    return [_tr("Attempt {0} was answered with {1}.").format(number, attempt.status)]


def _without(record: ActivityRecord, key: str) -> str:
    parts = [_note(_tr(NO_WIRE if record.kind == "auth" else NOT_KEPT))]
    if record.detail.get(key) is not None:
        parts.append(_code(pretty(_as_json(record.detail[key]))))
    return "".join(parts)


def _sent_or_detail(record: ActivityRecord, body: WireBody | None, key: str) -> str:
    # The bodies of MCP messages are in the record itself.
    if body is None and record.detail.get(key) is not None:
        return _code(pretty(_as_json(record.detail[key])))
    return _body(body)


def _body(body: WireBody | None) -> str:
    if body is None or not body.size:
        return _note(_tr(NO_BODY))
    if body.text is None:
        return _note(_tr("{0}, not kept as text.").format(size(body.size)))
    cut = _note(_tr("The beginning of {0}.").format(size(body.size))) if body.cut else ""
    return cut + _code(pretty(body.text), total=size(body.size))


def _headers(headers: Headers) -> str:
    return _table(headers)


def _table(rows: Sequence[tuple[str, str]] | Iterable[tuple[str, str]]) -> str:
    lines = "".join(
        f'<tr><td class="name">{_escaped(name)}</td><td class="value">{_escaped(value)}</td></tr>'
        for name, value in rows
    )
    return f'<table cellspacing="0" style="margin-top: 6px; margin-bottom: 6px">{lines}</table>' if lines else ""


def _escaped(text: str) -> str:
    return html.escape(revealed(text))


def _head(words: str) -> str:
    return f'<p class="head">{_escaped(words)}</p>'


def _note(words: str) -> str:
    return f'<p class="note">{_escaped(words)}</p>'


def _code(text: str, total: str = "") -> str:
    """A text with the width of its characters, as much of it as can be laid out in a moment."""
    lines = [
        line[start : start + LONGEST_LINE]
        for line in text[:SHOWN_CHARACTERS].split("\n")
        for start in range(0, len(line) or 1, LONGEST_LINE)
    ]
    shown = "\n".join(lines[:SHOWN_LINES])
    code = f"<pre>{_escaped(shown)}</pre>"
    if len(text) <= SHOWN_CHARACTERS and len(lines) <= SHOWN_LINES:
        return code
    return code + _note(_tr("More of it is in what Copy as JSON copies, {0} in all.").format(total or size(len(text))))


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _tr(text: str) -> str:
    return QCoreApplication.translate("Exchange", text)
