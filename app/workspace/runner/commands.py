"""The commands that a client gives to the agent of a run (docs/wire.md, "Commands to a run")."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.acp.messages import PeerClosed, RpcError
from app.workspace.runner.turns import Said
from app.workspace.tasks.run_control import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from app.workspace.runner.journal import JsonObject
    from app.workspace.runner.run import CarriedRun

    Handler = Callable[[CarriedRun, Mapping[str, object]], Awaitable[JsonObject]]

# A short turn is answered with its result. A longer one is seen in the log.
RESULT_SECONDS = 2.0
INTERNAL_ERROR = -32603


async def user_message(run: CarriedRun, params: Mapping[str, object]) -> JsonObject:
    """Say something: at once, into the turn under way (`steer`), or after it."""
    turns, session = run.turns, run.session
    assert turns is not None
    assert session is not None
    paths = await run.files(params.get("artifact_ids"))
    said = Said(str(params.get("content") or ""), paths)
    busy = turns.running
    if busy and params.get("steer"):
        if session.steering:
            run.steer(said)
            return {"queued": True}
        # This agent takes nothing up in a turn, so the turn makes room.
        turns.cancel()
    turns.add(said)
    if busy:
        return {"queued": True}
    done, _ = await asyncio.wait((said.done,), timeout=RESULT_SECONDS)
    return said.done.result() if done and not said.done.cancelled() else {"queued": True}


async def cancel(run: CarriedRun, _params: Mapping[str, object]) -> JsonObject:
    """Stop the turn; the session goes on. Without a turn there is nothing to do."""
    assert run.turns is not None
    if run.turns.cancel():
        run.note("_posthog/cancel")
    return {"cancelled": True}


async def close(run: CarriedRun, _params: Mapping[str, object]) -> JsonObject:
    """End the session: the run is completed."""
    run.note("_posthog/close")
    run.end("completed")
    return {"closed": True}


async def permission_response(run: CarriedRun, params: Mapping[str, object]) -> JsonObject:
    assert run.questions is not None
    run.questions.answer(params)
    return {"resolved": True}


async def set_config_option(run: CarriedRun, params: Mapping[str, object]) -> JsonObject:
    assert run.session is not None
    try:
        options = await run.session.set_option(str(params["configId"]), str(params["value"]))
    except RpcError as failure:
        raise CommandFailed(failure.code, failure.message) from None
    except PeerClosed:
        raise CommandFailed(INTERNAL_ERROR, "The agent has ended.") from None
    run.announce_options()
    return {"configOptions": options}


COMMANDS: dict[str, Handler] = {
    "user_message": user_message,
    "cancel": cancel,
    "close": close,
    "permission_response": permission_response,
    "set_config_option": set_config_option,
}
