"""Every answer of the labelled corpus, judged by the table and met on a real socket with a dead token."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from app.core.auth.http.classifier import RULES, Verdict, classify
from app.core.auth.http.target import CredentialAtStake
from tests.faults.asked import reply_of
from tests.faults.bench import Bench, bench
from tests.faults.labelled import Labelled, read_corpus

CORPUS = read_corpus()


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Bench]]:
    """One loop with one bench for all answers."""
    with asyncio.Runner() as runner:
        context = bench(tmp_path_factory.mktemp("bench"))
        yield runner, runner.run(context.__aenter__())
        runner.run(context.__aexit__(None, None, None))


def named(answer: Labelled) -> str:
    return answer.name


@pytest.mark.parametrize("answer", CORPUS, ids=named)
def test_the_table_says_what_the_label_says(answer: Labelled) -> None:
    reply = reply_of(answer)
    verdict, rule = classify(reply)
    assert verdict is answer.verdict
    assert rule != answer.looks_like
    if verdict is Verdict.SCOPE:
        assert reply.missing_scopes == answer.scopes


@pytest.mark.parametrize("answer", CORPUS, ids=named)
def test_what_heals_is_healed_once_and_what_does_not_passes_as_it_came(
    answer: Labelled, runner: tuple[asyncio.Runner, Bench], caplog: pytest.LogCaptureFixture
) -> None:
    loop, bench = runner
    for way, outcome in loop.run(bench.outcomes(answer)).items():
        assert outcome.healed if outcome.should_heal else outcome.passed(answer), way
    assert not [record for record in caplog.records if record.exc_info]


def test_precision_and_recall_of_healing_are_perfect(runner: tuple[asyncio.Runner, Bench]) -> None:
    loop, bench = runner
    counts: Counter[tuple[bool, bool]] = Counter()
    for answer in CORPUS:
        for outcome in loop.run(bench.outcomes(answer)).values():
            counts[outcome.should_heal, outcome.renewals > 0] += 1
    right, missed, wrong, rest = (counts[key] for key in ((True, True), (True, False), (False, True), (False, False)))
    precision, recall = right / (right + wrong), right / (right + missed)
    positives = sum(answer.heals for answer in CORPUS)
    print(  # noqa: T201
        f"{len(CORPUS)} answers, {positives} that heal and {len(CORPUS) - positives} that do not; "
        f"{counts.total()} requests: {right} healed rightly, {wrong} wrongly, {missed} missed, {rest} left alone; "
        f"precision {precision:.3f}, recall {recall:.3f}"
    )
    assert (precision, recall) == (1.0, 1.0)
    assert positives >= 40
    assert len(CORPUS) - positives >= 100


def test_the_corpus_covers_every_owner_verdict_and_rule() -> None:
    assert len(CORPUS) >= 150
    assert len({answer.name for answer in CORPUS}) == len(CORPUS)
    assert {answer.at_stake for answer in CORPUS} == set(CredentialAtStake)
    assert {answer.verdict for answer in CORPUS} == set(Verdict)
    assert all(answer.heals == (answer.verdict is Verdict.RECOVERABLE_AUTH) for answer in CORPUS)
    rules = {rule.name for rule in RULES}
    assert {classify(reply_of(answer))[1] for answer in CORPUS} == rules
    assert {answer.looks_like for answer in CORPUS} - {""} == rules
