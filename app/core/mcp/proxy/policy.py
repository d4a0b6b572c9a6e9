"""DoorPolicy: which tools a client sees and calls (`CallPolicy`). It lives on the proxy's loop.

The name of a tool is compared as the server lists it; `tool_rules.py` says what a name counts as that is written in
another way. In revision 2026-07-28 a header names the tool too: the stricter of both rules counts.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from app.core.background import retrieve
from app.core.errors import BurrowError, PolicyRefused
from app.core.mcp.json_text import NotJson
from app.core.mcp.proxy.failures import refusal_of
from app.core.mcp.proxy.parts import LONGEST_LIST, Decision, HttpUpstream, ToolRule, Way, values_of
from app.core.mcp.proxy.refusals import Refusal, RefusalKind, RequestRefused
from app.core.mcp.proxy.rounds import Rounds
from app.core.mcp.proxy.tool_lists import ListUnreadable, may_have_tools, without_tools
from app.core.mcp.proxy.tool_rules import strictest
from app.marks import revealed_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from app.core.mcp.proxy.messages import ClientMessage
    from app.core.mcp.proxy.parts import Call, Elsewhere, Headers, ProxyClient, ProxyHost, Responder, Upstream

# How often a client hears that its call still waits, in seconds.
BEAT_SECONDS = 10.0
WAITING = "Waiting for your approval in Burrow"
STREAM = b"text/event-stream"
# A proxy between client and Burrow must neither keep nor recode what has to arrive now.
STREAM_HEADERS = (
    (b"content-type", STREAM),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
# The progress of a tool only ever rises (MCP, "Progress"), and its server has not begun to count: ours stays below.
STEP = 1e-6
# MCP 2026-07-28, "Standard Request Headers" and "Value Encoding".
NAME_HEADER = b"mcp-name"
BASE64 = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
SHOWN_NAME = 200
# In bytes. A longer list is looked into in a thread: it takes 5 ms for each megabyte, and other clients are served.
AT_ONCE = 256 * 1024

# What the client is told when the call was not allowed, and what it can do about that. `{0}` is the tool of the server.
NOT_ALLOWED: Mapping[Decision, tuple[str, str]] = {
    Decision.REFUSE: (
        "The user did not allow this call of {0}.",
        "Do not call it again unless the user asks for it.",
    ),
    Decision.TIMED_OUT: (
        "Nobody said in time whether {0} may be called.",
        "Ask the user to answer in the window of Burrow, then call the tool again.",
    ),
    Decision.NOBODY: (
        "{0} needs the user's approval, and there is no window of Burrow to ask in.",
        "Ask the user to open Burrow, then call the tool again.",
    ),
    Decision.TOO_MANY: (
        "{0} needs the user's approval, and too many calls wait for that already.",
        "Wait until the user has answered in Burrow, then call the tool again.",
    ),
}
UNBLOCK = "Only the user can allow it, in Burrow under Servers or Connect."
_NOTHING_TO_END: AbstractAsyncContextManager[None] = nullcontext()
CANCELLED = "The call of {0} was cancelled before the user had answered."


@dataclass(eq=False)
class _Waiting:
    """A call that waits for the user, as the client may cancel it."""

    client: str
    server: str
    session: str
    request: object
    task: asyncio.Task[Decision]


@dataclass(frozen=True)
class _Waits:
    """Where a client waits for the answer to a call."""

    responder: Responder
    elsewhere: Elsewhere | None

    async def tell(self, call: Call, event: bytes) -> None:
        """Give it an event, if it takes one."""
        responder = self.responder
        if self.elsewhere is not None:
            if not responder.started:
                # Its next request, which may cancel this one, must not wait behind it on the same connection.
                responder.start(202, (), length=0, last=True)
                responder.end()
            await self.elsewhere(event)
            return
        if not responder.started:
            if call.way is not Way.MCP or not _takes_a_stream(call.request.headers):
                return
            responder.start(200, STREAM_HEADERS)
        await responder.write(event)


class DoorPolicy:
    """The rules of `host`, applied to calls and lists."""

    def __init__(self, host: ProxyHost, *, beat_seconds: float = BEAT_SECONDS) -> None:
        self._host = host
        self._beat_seconds = beat_seconds
        self._waiting: set[_Waiting] = set()
        # The calls that were allowed once and are not answered yet, and what follows on them.
        self._allowed: WeakSet[Call] = WeakSet()
        self._rounds = Rounds()

    def admitted(
        self, call: Call, responder: Responder, elsewhere: Elsewhere | None = None
    ) -> AbstractAsyncContextManager[None]:
        """See `CallPolicy`."""
        return _NOTHING_TO_END if self._allows(call) else self._asked(call, responder, elsewhere)

    def _allows(self, call: Call) -> bool:
        """Whether all its calls may be sent as they are, by what is known now: nearly every call."""
        if call.post is None or not self._host.knows_rules(call.upstream.id):
            return False
        tools = [message.params["name"] for message in call.post.calls]
        return all(
            self._rule(call, tool) is ToolRule.ALLOW and not self._host.asks_elsewhere(call.upstream.id, tool)
            for tool in tools
        )

    @asynccontextmanager
    async def _asked(self, call: Call, responder: Responder, elsewhere: Elsewhere | None) -> AsyncIterator[None]:
        async with AsyncExitStack() as allowed:
            for message in () if call.post is None else call.post.calls:
                await self._admit(call, message, _Waits(responder, elsewhere), allowed)
            yield

    def answered(self, call: Call, answer: bytes) -> None:
        """See `CallPolicy`."""
        if call in self._allowed:
            self._rounds.answered(call, answer)

    async def contradicted(self, call: Call) -> bool:
        """See `CallPolicy`."""
        tools = [message.tool for message in (() if call.post is None else call.post.calls) if message.tool is not None]
        if any(self._rule(call, tool) is not ToolRule.ALLOW for tool in tools):
            # The user was asked already.
            return False
        await self._host.rules_doubted(call.upstream.id)
        return any(self._rule(call, tool) is not ToolRule.ALLOW for tool in tools)

    def cancelled(self, call: Call) -> bool:
        """See `CallPolicy`."""
        request = call.post.messages[0].params.get("requestId") if call.post is not None else None
        whose = call.client.id, call.upstream.id, _session_of(call)
        found = [
            waiting
            for waiting in self._waiting
            if (waiting.client, waiting.server, waiting.session) == whose
            and (type(waiting.request), waiting.request) == (type(request), request)
        ]
        # Connections without a session may use an id at the same time: then nobody knows which call is meant.
        if len(found) == 1:
            found[0].task.cancel()
        return len(found) == 1

    async def hides(self, client: ProxyClient, upstream: Upstream) -> bool:
        """See `CallPolicy`."""
        await self._learn(upstream)
        return self._host.hides(client, upstream.id)

    async def filtered(self, client: ProxyClient, upstream: Upstream, message: bytes) -> bytes:
        """See `CallPolicy`."""
        if not await self.hides(client, upstream) or not may_have_tools(message):
            return message
        if len(message) > LONGEST_LIST:
            raise _unseen(upstream, f"longer than {LONGEST_LIST // 1024**2} MB")

        def hidden(name: str) -> bool:
            return self._host.rule(client, upstream.id, name) is ToolRule.BLOCK

        try:
            if len(message) > AT_ONCE:
                return await asyncio.to_thread(without_tools, message, hidden)
            return without_tools(message, hidden)
        except ListUnreadable as problem:
            raise _unseen(upstream, f"not JSON as everybody reads it ({problem})") from None

    async def _learn(self, upstream: Upstream) -> None:
        try:
            await self._host.rules_known(upstream.id)
        except BurrowError as failure:
            refusal = refusal_of(failure, upstream.id, upstream.title)
            if refusal.kind is RefusalKind.SERVER_UNAVAILABLE:
                why = f"The policies of {upstream.title} are not known, so none of its tools may be called"
                refusal = replace(refusal, message=f"{why}: {refusal.message}")
            elif refusal.kind is RefusalKind.SIGN_IN_NEEDED and isinstance(upstream, HttpUpstream):
                sentence = await self._host.sign_in_needed(upstream)
                words = f"{upstream.title} needs a sign-in in Burrow. {sentence}"
                refusal = replace(refusal, message=words, action=sentence)
            raise RequestRefused(refusal) from failure

    def _rule(self, call: Call, tool: str) -> ToolRule:
        found = self._host.rule(call.client, call.upstream.id, tool)
        for named in _named_tools(call.request.headers):
            if named != tool:
                found = strictest(found, self._host.rule(call.client, call.upstream.id, named))
        return found

    async def _admit(self, call: Call, message: ClientMessage, waits: _Waits, allowed: AsyncExitStack) -> None:
        """Let one call pass. Raises `RequestRefused`."""
        assert message.tool is not None
        await self._learn(call.upstream)
        rule = self._rule(call, message.tool)
        if rule is ToolRule.ALLOW:
            if self._host.asks_elsewhere(call.upstream.id, message.tool):
                await self._allow(call, message.tool, allowed)
            return
        if call.post is None or call.post.batch:
            words = "A batch may call only tools that need no approval."
            raise RequestRefused(Refusal(RefusalKind.INVALID, words, server=call.upstream.id))
        if rule is ToolRule.BLOCK:
            raise _blocked(call.upstream, message.tool)
        decision = Decision.ONCE if self._rounds.take(call) else await self._ask(call, message, waits)
        if decision is Decision.BLOCK or self._rule(call, message.tool) is ToolRule.BLOCK:
            raise _blocked(call.upstream, message.tool)
        if decision in NOT_ALLOWED:
            words, action = NOT_ALLOWED[decision]
            raise _not_approved(call.upstream, message.tool, words, action, decision.value)
        if decision is Decision.ONCE:
            self._allowed.add(call)
        await self._allow(call, message.tool, allowed)

    async def _allow(self, call: Call, tool: str, allowed: AsyncExitStack) -> None:
        """Have the call allowed for as long as it lasts where a store asks by itself. Raises `RequestRefused`."""
        try:
            await allowed.enter_async_context(self._host.allowed_once(call.upstream.id, tool))
        except PolicyRefused as failure:
            raise _blocked(call.upstream, tool) from failure
        except BurrowError as failure:
            words = f"{{0}} could not be allowed for this call: {failure}"
            raise _not_approved(call.upstream, tool, words, failure.advice, "failed") from failure

    async def _ask(self, call: Call, message: ClientMessage, waits: _Waits) -> Decision:
        """What the user says. Meanwhile the client hears that its call waits."""
        assert message.tool is not None
        asking = asyncio.ensure_future(
            self._host.ask(call.client, call.upstream.id, message.tool, _arguments(call), _session_of(call))
        )
        asking.add_done_callback(retrieve)
        waiting = _Waiting(call.client.id, call.upstream.id, _session_of(call), message.id, asking)
        self._waiting.add(waiting)
        beats = 0
        try:
            while not (await asyncio.wait({asking}, timeout=self._beat_seconds))[0]:
                beats += 1
                await waits.tell(call, _beat(message, beats))
            return asking.result()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not asking.cancelled() or (task is not None and task.cancelling()):
                raise
            raise _not_approved(
                call.upstream, message.tool, CANCELLED, "Call the tool again if it is needed.", "cancelled"
            ) from None
        except BurrowError as failure:
            raise _not_approved(call.upstream, message.tool, str(failure), failure.advice, "failed") from failure
        finally:
            self._waiting.discard(waiting)
            asking.cancel()


def _session_of(call: Call) -> str:
    """What names the session of a call; empty for a client without one. With HTTP+SSE it stands in the address."""
    return call.request.query if call.way is Way.SSE_MESSAGES else call.session


def _arguments(call: Call) -> Mapping[str, Any]:
    """The arguments of the only call, with every number as it was sent. Raises `RequestRefused`."""
    assert call.post is not None
    try:
        arguments = call.post.exact["params"].get("arguments")
    except NotJson as problem:
        words = f"The arguments cannot be shown to the user, who has to allow this call: {problem.msg}."
        raise RequestRefused(Refusal(RefusalKind.INVALID, words, server=call.upstream.id)) from None
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise RequestRefused(Refusal(RefusalKind.INVALID, "The arguments are no object.", server=call.upstream.id))
    return arguments


def _beat(message: ClientMessage, count: int) -> bytes:
    """An event that tells the progress of the call to who asked for it, else a comment."""
    meta = message.params.get("_meta")
    token = meta.get("progressToken") if isinstance(meta, dict) else None
    if isinstance(token, bool) or not isinstance(token, str | int):
        return f": {WAITING}\n\n".encode()
    params = {"progressToken": token, "progress": round(count * STEP, 6), "message": WAITING}
    note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
    return b"event: message\ndata: " + json.dumps(note).encode() + b"\n\n"


def _takes_a_stream(headers: Headers) -> bool:
    """Whether the client takes an event stream as the answer (RFC 9110 section 12.5.1)."""
    ranges = [part for value in values_of(headers, b"accept") for part in value.lower().split(b",")]
    for each in ranges:
        kind, *parameters = (part.strip() for part in each.split(b";"))
        if kind == STREAM:
            return not any(re.fullmatch(rb"q\s*=\s*0(\.0*)?", part) for part in parameters)
    return False


def _named_tools(headers: Headers) -> tuple[str, ...]:
    """The names that the header gives; what is not encoded as it should be names nothing."""
    found = []
    for value in values_of(headers, NAME_HEADER):
        text = value.decode("latin-1")
        encoded = BASE64.fullmatch(text)
        try:
            found.append(text if encoded is None else base64.b64decode(encoded[1], validate=True).decode())
        except (binascii.Error, ValueError):
            continue
    return tuple(found)


def _called(upstream: Upstream, tool: str) -> str:
    name = revealed_name(tool)
    return f"the tool “{name if len(name) <= SHOWN_NAME else name[:SHOWN_NAME] + '…'}” of {upstream.title}"


def _blocked(upstream: Upstream, tool: str) -> RequestRefused:
    words = _sentence(f"{_called(upstream, tool)} is blocked. {UNBLOCK}")
    return RequestRefused(Refusal(RefusalKind.TOOL_BLOCKED, words, UNBLOCK, upstream.id, {"tool": tool}))


def _not_approved(upstream: Upstream, tool: str, words: str, action: str, decision: str) -> RequestRefused:
    message = _sentence(f"{words.replace('{0}', _called(upstream, tool))} {action}")
    facts = {"tool": tool, "decision": decision}
    return RequestRefused(Refusal(RefusalKind.NOT_APPROVED, message, action, upstream.id, facts))


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}"


def _unseen(upstream: Upstream, why: str) -> RequestRefused:
    words = f"The list of tools of {upstream.title} is {why}, so its blocked tools cannot be taken out of it."
    action = f"Ask the user to allow the blocked tools of {upstream.title} in Burrow, or to remove the server."
    return RequestRefused(Refusal(RefusalKind.SERVER_UNAVAILABLE, f"{words} {action}", action, upstream.id))
