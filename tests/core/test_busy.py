"""What would be interrupted by an end now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.core.busy import Busy, Work, WorkKind
from app.core.mcp.proxy.under_way import CALL_BROKEN_OFF, CUT_OFF, UNANSWERED, UnderWay, works_of
from app.core.services import Services
from tests.conftest import RunningWorkspace

CALL = Work(WorkKind.CALL, "search on Linear", "It is broken off.")
DRAFT = Work(WorkKind.DRAFT, "A thought", "It is kept.", kept=True)


def test_what_is_kept_on_disk_is_under_way_and_not_interrupted() -> None:
    busy = Busy()
    busy.register(lambda: [DRAFT, CALL])
    assert busy.works() == (DRAFT, CALL)
    assert busy.interrupted() == (CALL,)


def test_what_depends_on_the_account_says_what_leaving_it_means() -> None:
    busy = Busy()
    sent = replace(DRAFT, without_account="It waits.")
    busy.register(lambda: [CALL, sent, DRAFT])
    assert busy.of_account() == (replace(sent, consequence="It waits."),)
    assert busy.interrupted() == (CALL,)


def test_a_source_that_fails_hides_no_other_one() -> None:
    busy = Busy()

    def fails() -> Iterator[Work]:
        yield DRAFT
        raise RuntimeError

    busy.register(fails)
    unregister = busy.register(lambda: [CALL])
    assert busy.interrupted() == (CALL,)
    unregister()
    unregister()
    assert busy.interrupted() == ()


def test_work_counts_for_the_time_of_its_block_and_both_ends_are_told() -> None:
    busy = Busy()
    told: list[tuple[Work, ...]] = []
    busy.changed.subscribe(lambda _nothing: told.append(busy.works()))
    with pytest.raises(KeyError), busy.during(CALL):
        raise KeyError
    assert told == [(CALL,), ()]


def test_the_calls_and_streams_of_clients_are_named_and_a_question_says_whose_answer_is_missing() -> None:
    requests = [UnderWay("Claude", "a", "search"), UnderWay("Claude", "a"), UnderWay("Codex", "b", "delete")]
    works = works_of(requests, {"a": "Linear"}, [UnderWay("Codex", "b", "delete")], followed=False)
    assert works == (
        Work(WorkKind.CALL, "search on Linear, for Claude", CALL_BROKEN_OFF),
        Work(WorkKind.CALL, "delete on b, for Codex", UNANSWERED),
        Work(WorkKind.CLIENT, "Claude", CUT_OFF),
    )


def test_clients_that_another_process_goes_on_serving_are_not_cut_off() -> None:
    requests = [UnderWay("Claude", "a", "search"), UnderWay("Claude", "a")]
    assert [work.kind for work in works_of(requests, {}, (), followed=True)] == [WorkKind.CALL]


async def test_a_sign_in_is_under_way_until_it_ends(tmp_path: Path, workspace: RunningWorkspace) -> None:
    services = Services(tmp_path)
    try:
        backend = await services.connect(await services.resolve(workspace.url))
        assert services.busy.interrupted() == ()
        attempt = await backend.credential.begin_sign_in(open_browser=False)
        assert [work.kind for work in services.busy.interrupted()] == [WorkKind.SIGN_IN]
        attempt.cancel()
        assert services.busy.interrupted() == ()
    finally:
        await services.close()
