"""What a person is told of a grant: every outcome has a kind, no secret is in it, hostile words drive nothing."""

from __future__ import annotations

import json
import re
from math import inf, isinf
from pathlib import Path

import pytest

from app.core.auth.cause import AHEAD, ASKED, Cause, CauseKind
from app.core.auth.grant.journal import ENDED, REFRESH, REFRESHED, SIGNED_IN, SIGNED_OUT, UNSTORED, Journal
from app.core.auth.status import AuthEvent
from app.core.diagnostics import report
from app.core.diagnostics.snapshot import SignInSnapshot
from app.core.diagnostics.timeline import LONGEST_SECONDS, REFRESH_OUTCOMES, StepKind, Timeline, kind_of, last_failure
from tests.clock import StillClock
from tests.core.test_journal import GRANT, NEXT, REFUSED, US_KEY, journals

STANDING = SignInSnapshot(
    "ana@example.org",
    "PostHog US",
    "us",
    "https://us.posthog.com",
    "Web shop (1)",
    "signed_in",
    None,
    None,
    "keyring",
    True,
    0.0,
)


def fresh(clock: StillClock, role: str = "window") -> tuple[Journal, Timeline]:
    """A process and its timeline, kept nowhere."""
    journal = Journal(US_KEY, clock=clock, process=role)
    return journal, Timeline(journal, clock, role)


@pytest.mark.parametrize(("outcome", "kind"), REFRESH_OUTCOMES.items())
async def test_every_outcome_of_a_renewal_has_a_kind_and_times_of_its_own(outcome: str, kind: StepKind) -> None:
    journal, timeline = fresh(StillClock())
    number = await journal.begin(GRANT, REFUSED)
    await journal.settle(number, outcome, milliseconds=41.5, renews_at=7.0)
    (step,) = await timeline.recent(10)
    assert step.kind is kind
    assert (step.milliseconds, step.renews_at, step.before) == (41.5, 7.0, 4)
    assert step.after == (5 if outcome in {REFRESHED, UNSTORED} else None)
    assert (step.cause, step.target, step.rule) == ("refused", "PostHog US", "unauthorized")
    assert step.here


async def test_an_outcome_that_nobody_knows_is_shown_in_its_own_words() -> None:
    journal, timeline = fresh(StillClock())
    await journal.settle(await journal.begin(GRANT, AHEAD), "FutureTrouble")
    steps = await timeline.recent(10)
    assert steps[0].kind is StepKind.OTHER
    assert "FutureTrouble" in report.text(STANDING, steps)


async def test_what_is_under_way_for_too_long_was_interrupted() -> None:
    clock = StillClock()
    journal, timeline = fresh(clock)
    await journal.begin(GRANT, AHEAD)
    assert (await timeline.recent(1))[0].kind is StepKind.UNDER_WAY
    clock.advance(LONGEST_SECONDS + 1)
    assert (await timeline.recent(1))[0].kind is StepKind.INTERRUPTED
    clock.set_wall(-3 * LONGEST_SECONDS)
    assert (await timeline.recent(1))[0].kind is StepKind.INTERRUPTED


@pytest.mark.parametrize(
    ("what", "outcome", "kind"),
    [
        (SIGNED_IN, "ok", StepKind.SIGNED_IN),
        (SIGNED_IN, "not stored", StepKind.SIGNED_IN_UNSTORED),
        (SIGNED_OUT, "ok", StepKind.SIGNED_OUT),
        (ENDED, "invalid_grant", StepKind.ENDED),
        (ENDED, "key refused", StepKind.ENDED),
        ("of the future", "ok", StepKind.OTHER),
    ],
)
async def test_signing_in_and_out_and_an_end_have_a_kind(what: str, outcome: str, kind: StepKind) -> None:
    clock = StillClock()
    journal, _ = fresh(clock)
    await journal.record(what, "browser", GRANT, outcome)
    (event,) = await journal.recent(1)
    assert kind_of(event, clock.wall()) is kind


async def test_the_steps_of_every_process_stand_in_one_order_and_say_whose_they_are(tmp_path: Path) -> None:
    clock = StillClock()
    async with journals(tmp_path, clock) as (window, command):
        timeline = Timeline(window, clock, "window")
        await window.record(SIGNED_IN, "browser", GRANT)
        clock.advance(10)
        await command.settle(await command.begin(GRANT, REFUSED), REFRESHED)
        clock.advance(1)
        timeline.record_event(AuthEvent(REFRESH, "noticed", "adopted", 5, "0123abcd"))
        timeline.record_event(AuthEvent(REFRESH, "expired", "renewed", 5, "0123abcd"))
        clock.advance(1)
        timeline.record_event(AuthEvent(SIGNED_IN, "another window", "ok", 1, "4567cdef"))
        steps = await timeline.recent(10)
        assert [step.kind for step in steps] == [
            StepKind.SIGNED_IN,
            StepKind.TAKEN_OVER,
            StepKind.RENEWED,
            StepKind.SIGNED_IN,
        ]
        assert [step.here for step in steps] == [True, True, False, True]
        assert steps[2].process.startswith("command line ")
        assert (steps[1].before, steps[1].after, steps[1].access) == (None, 5, "0123abcd")
        assert len({step.key for step in steps}) == 4
        assert len(await timeline.recent(2)) == 2


async def test_the_last_failure_is_the_newest_that_was_one() -> None:
    journal, timeline = fresh(StillClock())
    assert last_failure(await timeline.recent(9)) is None
    for outcome in ("Offline", "TimedOut", REFRESHED):
        await journal.settle(await journal.begin(GRANT, AHEAD), outcome)
    failure = last_failure(await timeline.recent(9))
    assert failure is not None
    assert failure.kind is StepKind.NO_ANSWER


async def test_the_report_holds_no_token_and_is_aligned_with_the_newest_last() -> None:
    clock = StillClock()
    journal, timeline = fresh(clock)
    await journal.record(SIGNED_IN, "browser", GRANT)
    clock.advance(60)
    access = journal.fingerprint(NEXT.tokens.access_token)
    await journal.settle(await journal.begin(GRANT, REFUSED), REFRESHED, milliseconds=41.0, access=access)
    steps = await timeline.recent(9)
    standing = STANDING._replace(token=access, generation=5, scopes=("task:read", "task:write"), issued_at=clock.wall())
    text = report.text(standing, steps)
    records = json.dumps([report.facts(standing), *(report.record(step) for step in steps)])
    for secret in ("pha_secret", "phr_secret", "pha_next", "phr_next"):
        assert secret not in text + records
    assert re.search(rf"^token +{access}, generation 5$", text, re.MULTILINE)
    lines = text.partition("\n\n")[2].splitlines()
    assert [line[27:36] for line in lines] == ["what     ", "signed in", "renewed  "]
    assert lines[2].endswith("refused by PostHog US (unauthorized)")
    place = lines[0].index("took") + len("took")
    assert lines[2][:place].endswith("41 ms")


async def test_hostile_words_stay_on_their_line_and_drive_nothing() -> None:
    hostile = "x\x1b[31m\r\nroot\u202e\x07"
    journal, timeline = fresh(StillClock(), hostile)
    await journal.record(SIGNED_IN, hostile, GRANT, hostile)
    await journal.begin(GRANT, Cause(CauseKind.REFUSED, hostile, hostile))
    standing = STANDING._replace(reason=hostile, project=hostile, scopes=(hostile,))
    text = report.text(standing, await timeline.recent(9))
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text.splitlines()) == len(
        report.text(standing._replace(reason="x"), await timeline.recent(9)).splitlines()
    )


def test_a_report_without_anything_that_happened_says_so() -> None:
    assert report.text(STANDING, ()).endswith("Nothing has happened yet.\n")


@pytest.mark.parametrize(
    ("skew", "words"), [(0.0, None), (12.4, "12 s behind the server's"), (-90.0, "90 s ahead of the server's")]
)
def test_the_clock_of_this_computer_is_told_only_where_it_is_wrong(skew: float, words: str | None) -> None:
    assert report.describe_skew(skew) == words
    assert ("clock" in "\n".join(report.fact_lines(STANDING._replace(skew=skew)))) is (words is not None)


def test_an_api_key_is_said_to_be_never_renewed() -> None:
    assert "renews      never: it is an API key" in report.fact_lines(STANDING._replace(refreshable=False))


async def test_an_event_asked_for_reads_as_what_it_is() -> None:
    journal, timeline = fresh(StillClock())
    await journal.begin(GRANT, ASKED)
    assert report.why((await timeline.recent(1))[0]) == "asked for"


@pytest.mark.parametrize(("until", "words"), [(1_800_000_000.0, "2027-01-15T"), (inf, "until a server refuses it")])
def test_a_grant_that_cannot_be_renewed_is_told_with_the_time_until_which_it_works(until: float, words: str) -> None:
    snapshot = STANDING._replace(works_until=until)
    assert f"could not be renewed; works {'' if isinf(until) else 'until '}" in report.text(snapshot, ())
    assert words in report.text(snapshot, ())
    assert report.facts(snapshot)["renewable"] is False
