"""Answers become errors by one table: kind, words and facts, for REST and MCP alike."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.core.auth.http.classifier import Reply, Verdict
from app.core.auth.http.target import CredentialAtStake
from app.core.error_mapping import MEANINGS, SHOWN_CHARACTERS, answer_error, concerns_token
from app.core.errors import (
    BurrowError,
    NotFound,
    OutcomeUnknown,
    PermissionMissing,
    QuotaReached,
    Rejected,
    ServerTrouble,
    SignInNeeded,
    Throttled,
    VendorSignInNeeded,
)
from tests.faults.asked import reply_of
from tests.faults.labelled import read_corpus

PERSON, INSTALLATION, SERVER = CredentialAtStake.CARRIED, CredentialAtStake.VENDOR_BEHIND, CredentialAtStake.UNMANAGED
PAGE = b"<!doctype html><title>Log in</title>"
UNREACHABLE = {"error": "Upstream MCP server unreachable"}


def reply(status: int, body: Any = b"", owner: CredentialAtStake = PERSON, **headers: str) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, content, owner)


def error_of(answer: Reply, *, repeatable: bool = True) -> BurrowError:
    return answer_error(answer, name="Acme", origin="https://acme.example", repeatable=repeatable)


def test_every_verdict_that_is_no_success_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Verdict) - {Verdict.FINE}


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            reply(401, {"code": "authentication_failed", "detail": "Invalid."}),
            ServerTrouble,
            "Acme refuses a sign-in that works elsewhere: Invalid.",
        ),
        (reply(401), ServerTrouble, "Acme refuses a sign-in that works elsewhere."),
        (reply(401, b"Invalid API key"), ServerTrouble, "Acme refuses a sign-in that works elsewhere: Invalid API key"),
        (reply(401, b"No token provided, please provide one"), SignInNeeded, "Acme no longer accepts this sign-in."),
        (
            reply(401, {"error": "Authentication failed"}, INSTALLATION),
            VendorSignInNeeded,
            "The server's own sign-in has ended.",
        ),
        (reply(403, {"code": "permission_denied", "detail": "No."}), PermissionMissing, "No."),
        (reply(403), PermissionMissing, "Acme does not permit this."),
        (reply(402), QuotaReached, "Acme says that a limit is reached."),
        (reply(404), NotFound, "There is nothing at this address."),
        (reply(404, PAGE), NotFound, "There is nothing at this address."),
        (reply(429), Throttled, "Acme received too many requests."),
        (reply(400), Rejected, "Acme does not accept the request."),
        (reply(400, {"error": {"code": 3, "message": "Too old."}}), Rejected, "Too old."),
        (
            reply(400, {"fields": {"name": "short"}}),
            Rejected,
            'Acme answered with status 400: {"fields": {"name": "short"}}',
        ),
        (reply(500, b"upstream request timeout\n"), ServerTrouble, "upstream request timeout"),
        (reply(502, PAGE), ServerTrouble, "Acme answered with status 502."),
        (reply(302), ServerTrouble, "Acme answered with status 302."),
        (reply(401, b"", SERVER), ServerTrouble, "Acme answered with status 401."),
        (reply(401, b"", SERVER, www_authenticate="Basic"), ServerTrouble, "Acme answered with status 401."),
    ],
)
def test_the_servers_words_are_told_unless_ours_say_more(answer: Reply, kind: type[BurrowError], words: str) -> None:
    error = error_of(answer)
    assert type(error) is kind
    assert error.cause == words


@pytest.mark.parametrize(
    ("headers", "who"),
    [
        ({}, "Something between Burrow and Acme"),
        ({"server": "nginx/1.27.0"}, "Something between Burrow and Acme (nginx)"),
        ({"server": "cloudflare"}, "Something between Burrow and Acme (cloudflare)"),
        ({"server": "gate", "cf-ray": "8d4f-FRA"}, "Something between Burrow and Acme (Cloudflare)"),
        ({"server": "<script>"}, "Something between Burrow and Acme"),
        ({"server": "x" * 5000}, f"Something between Burrow and Acme ({'x' * 40})"),
    ],
)
def test_what_answered_in_the_servers_place_is_named(headers: dict[str, str], who: str) -> None:
    assert error_of(reply(401, PAGE, **headers)).cause == (
        f"{who} answered in its place: it refuses a sign-in that works elsewhere."
    )
    assert error_of(reply(403, PAGE, **headers)).cause == f"{who} answered in its place, with a page and status 403."
    assert error_of(reply(407, PAGE, **headers)).cause == f"{who} asks for a sign-in of its own."
    asking = reply(401, PAGE, www_authenticate='Basic realm="vpn"', **headers)
    assert error_of(asking).cause == f"{who} asks for a sign-in of its own."


def test_a_vendors_page_is_the_vendors() -> None:
    assert type(error_of(reply(401, PAGE, INSTALLATION))) is VendorSignInNeeded


def test_the_facts_are_what_the_server_said() -> None:
    body = {"type": "validation_error", "code": "required", "detail": "Missing.", "attr": "title"}
    facts = error_of(reply(400, body, retry_after="7")).facts
    assert (facts.status, facts.code, facts.detail, facts.attr) == (400, "required", "Missing.", "title")
    assert (facts.retry_after, facts.origin, facts.scopes) == (7, "https://acme.example", ())
    scope = 'Bearer error="insufficient_scope", scope="task:write project:read"'
    assert error_of(reply(403, b"no", www_authenticate=scope)).facts.scopes == ("task:write", "project:read")
    assert error_of(reply(403, b"no", INSTALLATION, www_authenticate=scope)).facts.scopes == ()
    assert error_of(reply(500, PAGE)).facts.detail is None
    assert error_of(reply(400, {"attr": ["title"]})).facts.attr is None


@pytest.mark.parametrize("status", [500, 501, 502, 504, 520, 524, 599])
def test_a_server_that_failed_leaves_the_outcome_of_a_change_open(status: int) -> None:
    answer = reply(status, {"code": "error", "detail": "A server error occurred."}, retry_after="3")
    error = error_of(answer, repeatable=False)
    assert type(error) is OutcomeUnknown
    assert error.facts == error_of(answer).facts
    assert type(error_of(answer)) is ServerTrouble


@pytest.mark.parametrize(
    "answer", [reply(503), reply(503, PAGE), reply(403, PAGE), reply(502, UNREACHABLE, INSTALLATION)]
)
def test_an_answer_that_says_that_nothing_was_begun_leaves_nothing_open(answer: Reply) -> None:
    assert type(error_of(answer, repeatable=False)) is ServerTrouble


@pytest.mark.parametrize(
    "answer",
    [reply(502, UNREACHABLE), reply(502, {"error": "Upstream MCP server timed out"}, INSTALLATION), reply(502, PAGE)],
)
def test_an_answer_that_only_looks_so_leaves_it_open(answer: Reply) -> None:
    assert type(error_of(answer, repeatable=False)) is OutcomeUnknown


def test_only_what_a_renewal_could_have_mended_concerns_the_token() -> None:
    assert concerns_token(reply(401))
    assert concerns_token(reply(401, b"No token provided"))
    assert concerns_token(reply(403, {"code": "not_authenticated", "detail": "Missing."}))
    assert not concerns_token(reply(403, {"code": "permission_denied", "detail": "No."}))
    assert concerns_token(reply(401, b"", INSTALLATION))
    assert not concerns_token(reply(401, {"error": "No credentials configured"}, INSTALLATION))
    assert not concerns_token(reply(500))


@pytest.mark.parametrize("repeatable", [True, False])
def test_every_failure_of_the_corpus_has_words_for_a_person(repeatable: bool) -> None:
    for answer in read_corpus():
        if answer.status >= 300:
            error = error_of(reply_of(answer), repeatable=repeatable)
            assert 0 < len(error.cause) <= SHOWN_CHARACTERS + 100
            assert not error.cause.lstrip().startswith("<"), answer.name
            assert "‹U+0000›" not in error.cause, answer.name
            assert error.facts.status == answer.status
