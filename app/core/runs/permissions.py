"""Permissions and questions: asked by the agent, perhaps again after a reconnect, and answered here or elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.core.runs.contents import QUESTION, identity_of, parts_of, questions_of
from app.core.runs.items import Permission, PermissionOption
from app.core.runs.params import Answered, Asked, PermissionOutcome, decoded, text_of
from app.core.runs.reducer import CANCELLED, ELSEWHERE

if TYPE_CHECKING:
    from app.core.runs.items import Question
    from app.core.runs.log_entries import LogEntry
    from app.core.runs.params import AskedCall
    from app.core.runs.reducer import Reducer

SWITCH_MODE = "switch_mode"


class _Planned(msgspec.Struct):
    plan: str | None = None
    questions: msgspec.Raw = msgspec.Raw()


class _Outcome(msgspec.Struct):
    outcome: PermissionOutcome | str | None = None


def requested(reducer: Reducer, entry: LogEntry) -> None:
    """`session/request_permission`, or the stream's `permission_request`. Asked twice, it is one."""
    asked = decoded(entry.message.params, Asked)
    if asked is None:
        return
    call = asked.tool_call
    call_id = (call.tool_call_id if call is not None else None) or ""
    request_id = str(asked.request_id) if asked.request_id is not None else entry.message.id or call_id
    at = reducer.at
    item = _item(reducer, f"permission:{at.session}.{request_id}", request_id, call_id, asked)
    known = reducer.found(item.key, Permission)
    if known is None and (waiting := _waiting_for(reducer, call_id, streamed=not item.streamed)) is not None:
        # The log names it by the agent's request, the stream by the id that the answer must have.
        index, first = waiting
        if item.streamed:
            same = msgspec.structs.replace(item, key=first.key, turn=first.turn, at=first.at, late=first.late)
            reducer.put(index, same)
        return
    if known is None:
        reducer.working()
        index = reducer.add(item)
        if item.late:
            # Nobody is asked any more; the agent is told so by whoever cancelled the turn.
            reducer.put(index, msgspec.structs.replace(item, answer=CANCELLED))
        else:
            reducer.wait_for(index, item.key)
    elif not known[1].answer and (item.streamed or not known[1].streamed):
        merged = msgspec.structs.replace(item, turn=known[1].turn, at=known[1].at)
        if merged != known[1]:
            reducer.put(known[0], merged)


def answered(reducer: Reducer, entry: LogEntry) -> None:
    """`_posthog/permission_response`, `_posthog/permission_resolved`."""
    answer = decoded(entry.message.params, Answered)
    if answer is None:
        return
    chosen = answer.option_id or _chosen(entry)
    if answer.request_id is not None and _close(reducer, str(answer.request_id), chosen):
        return
    if answer.tool_call_id:
        found = _waiting_for(reducer, answer.tool_call_id)
        if found is not None:
            reducer.answer(found[1].key, chosen)


def responded(reducer: Reducer, request_id: str, outcome: PermissionOutcome) -> None:
    """The response to an agent's `session/request_permission`."""
    _close(reducer, request_id, outcome.option_id or (CANCELLED if outcome.outcome == CANCELLED else ELSEWHERE))


def answered_elsewhere(reducer: Reducer, call_id: str) -> None:
    """The tool call that permissions are about is over."""
    while reducer.at.waiting and (found := _waiting_for(reducer, call_id)) is not None:
        reducer.answer(found[1].key, ELSEWHERE)


def _close(reducer: Reducer, request_id: str, answer: str) -> bool:
    for key, index in reducer.at.waiting.items():
        asked = reducer.items.item(index)
        if isinstance(asked, Permission) and asked.request_id == request_id:
            reducer.answer(key, answer)
            return True
    return False


def _waiting_for(reducer: Reducer, call_id: str, *, streamed: bool | None = None) -> tuple[int, Permission] | None:
    """The oldest question that waits about a call, of one form or of either."""
    if not call_id:
        return None
    for index in reducer.at.waiting.values():
        asked = reducer.items.item(index)
        if isinstance(asked, Permission) and asked.call_id == call_id and streamed in {None, asked.streamed}:
            return index, asked
    return None


def _item(reducer: Reducer, key: str, request_id: str, call_id: str, asked: Asked) -> Permission:
    call, at = asked.tool_call, reducer.at
    kind = ""
    questions: tuple[Question, ...] = ()
    plan = raw_input = ""
    if call is not None:
        kind = identity_of(call.meta, call.title).kind or call.kind or ""
        raw_input = text_of(call.raw_input)
        plan, questions = _asked_in(call, kind)
        if questions:
            kind = QUESTION
    options = tuple(
        PermissionOption(
            each.option_id,
            each.name or each.option_id,
            each.kind or "",
            (each.meta.description or "") if each.meta is not None else "",
            bool(each.meta is not None and each.meta.custom_input),
        )
        for each in asked.options or ()
    )
    return Permission(
        key=key,
        turn=at.turn,
        at=reducer.moment,
        late=reducer.late,
        request_id=request_id,
        call_id=call_id,
        title=(call.title if call is not None else None) or call_id or request_id,
        kind=kind,
        options=options,
        questions=questions,
        parts=() if call is None or call.content is None else parts_of(call.content, terminal=kind == "execute"),
        plan=plan,
        input=raw_input,
        streamed=asked.request_id is not None,
    )


def _asked_in(call: AskedCall, kind: str) -> tuple[str, tuple[Question, ...]]:
    """The plan that is to be approved, and the questions."""
    given = (decoded(call.raw_input, _Planned) if call.raw_input else None) or _Planned()
    asked = call.meta.questions if call.meta is not None else None
    if asked is None and kind == QUESTION and given.questions:
        from app.core.runs.params import AskedQuestion

        asked = decoded(given.questions, list[AskedQuestion])
    plan = (given.plan or "") if kind == SWITCH_MODE or given.plan else ""
    return plan, questions_of(asked or ())


def _chosen(entry: LogEntry) -> str:
    raw = decoded(entry.message.params, _Outcome)
    outcome = raw.outcome if raw is not None else None
    # The workspace names how it ended in one word.
    if isinstance(outcome, str):
        return CANCELLED if outcome == CANCELLED else ELSEWHERE
    if outcome is not None:
        return outcome.option_id or (CANCELLED if outcome.outcome == CANCELLED else ELSEWHERE)
    return ELSEWHERE
