"""What the clients of the proxy have under way in this process, for `Busy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.core.busy import Work, WorkKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CALL_BROKEN_OFF = "The client gets an error. The server may have carried the call out already."
UNANSWERED = "It waits for your answer. The client gets an error."
CUT_OFF = "It cannot use its servers until Burrow runs again."
# Nobody reads more of one client.
MOST_NAMED = 100


class UnderWay(NamedTuple):
    """One request that is answered now, or a stream that is open.

    `tool` is the name of the tool that it calls, empty for any other request and for a stream.
    """

    client: str
    server: str
    tool: str = ""


def works_of(
    requests: Iterable[UnderWay], titles: Mapping[str, str], asked: Iterable[UnderWay], *, followed: bool
) -> tuple[Work, ...]:
    """The work behind `requests`. `titles` has the names of servers by id, `asked` the calls that wait for the user.

    `followed` says that another process stands by: it goes on serving the clients, and only calls are broken off.
    """
    open_questions = list(asked)
    found: list[Work] = []
    connected: dict[str, None] = {}
    for request in requests:
        if not request.tool:
            connected[request.client] = None
            continue
        waits = request in open_questions
        if waits:
            open_questions.remove(request)
        what = f"{request.tool} on {titles.get(request.server, request.server)}, for {request.client}"
        found.append(Work(WorkKind.CALL, what, UNANSWERED if waits else CALL_BROKEN_OFF))
    if not followed:
        found.extend(Work(WorkKind.CLIENT, client, CUT_OFF) for client in connected)
    return tuple(found[:MOST_NAMED])
