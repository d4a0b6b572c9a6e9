"""What the classifier is asked about a labelled answer when a client meets it: worked out here a second time."""

from __future__ import annotations

from app.core.auth.http.classifier import Reply
from tests.faults.labelled import Labelled


def reply_of(answer: Labelled) -> Reply:
    """What the table is asked about an answer: nothing inside a success that cannot fail inside."""
    judged = answer.body
    if answer.status < 400:
        inside = answer.jsonrpc and answer.status == 200 and answer.method == "POST"
        judged = first_message(answer) if inside else b""
    return Reply(answer.status, answer.joined_headers, judged, answer.at_stake, answer.reports_own_auth)


def first_message(answer: Labelled) -> bytes:
    """The first message of a 200, read the plain way: lines, fields, an empty line (WHATWG HTML section 9.2.6)."""
    if answer.media_type == "application/json":
        return answer.body
    if answer.media_type != "text/event-stream":
        return b""
    data: list[str] = []
    lines = answer.body.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for line in lines[:-1]:
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif not line:
            if any(data):
                return "\n".join(data).encode()
            data.clear()
    return b""
