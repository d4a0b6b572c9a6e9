"""Words that are true where they stand: on the first page, and lengths of time."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QLocale
from PySide6.QtWidgets import QApplication, QLabel, QPushButton

from app.core.errors import (
    BurrowError,
    CertificateRefused,
    Facts,
    Offline,
    ProxyUnusable,
    ServerTrouble,
    SignInNeeded,
    Throttled,
    TimedOut,
)
from app.ui.signin.first_run import FirstRun
from app.ui.widgets.times import duration

UNTRUE = ("saved", "by itself", "are kept", "waiting work")


class Asked:
    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.workspaces = 0
        self.keys: list[str] = []

    def workspace(self) -> None:
        self.workspaces += 1

    def key(self, host: str, key: str) -> None:
        self.keys.append(f"{host} {key}")


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def page(qtbot, asked: Asked) -> FirstRun:
    page = FirstRun(asked.workspace, asked.hosts.append, asked.key)
    qtbot.addWidget(page)
    page.show()
    return page


def words(page: FirstRun) -> str:
    return " ".join(each.text() for each in page.findChildren(QLabel) if each.isVisible())


def buttons(page: FirstRun, text: str) -> list[QPushButton]:
    QApplication.processEvents()
    return [each for each in page.findChildren(QPushButton) if each.text() == text and each.isVisible()]


ERRORS: list[BurrowError] = [
    Offline("us.posthog.com cannot be reached."),
    TimedOut("us.posthog.com did not answer in time."),
    ServerTrouble("us.posthog.com has an error.", Facts(status=502)),
    Throttled("Too many sign-ins."),
    CertificateRefused("The certificate is not valid."),
    ProxyUnusable("HTTPS_PROXY names no proxy."),
    SignInNeeded("The key was refused."),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_no_error_of_the_first_page_claims_saved_data_or_a_retry_of_its_own(page: FirstRun, error: BurrowError) -> None:
    page.failed(error)
    said = page.shown_error()
    assert error.cause in said
    assert [claim for claim in UNTRUE if claim in said.casefold()] == []
    # What to do stands after the cause.
    assert len(said) > len(error.cause) + 10


def test_an_attempt_that_may_succeed_later_can_be_made_again_at_the_card(page: FirstRun, asked: Asked) -> None:
    page.sign_in_button.click()
    page.failed(Offline("us.posthog.com cannot be reached."))
    (again,) = buttons(page, "Try again")
    again.click()
    assert asked.hosts == ["us", "us"]
    page.try_button.click()
    page.failed(TimedOut("The workspace did not start."))
    buttons(page, "Try again")[0].click()
    assert asked.workspaces == 2


def test_an_attempt_that_needs_something_else_first_is_not_offered_again(page: FirstRun) -> None:
    page.sign_in_button.click()
    page.failed(ProxyUnusable("HTTPS_PROXY names no proxy."))
    assert buttons(page, "Try again") == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (0.34, "340 ms"),
        (0.9996, "1 s"),
        (1, "1 s"),
        (2.1, "2.1 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min"),
        (60, "1 min"),
        (252, "4 min 12 s"),
        (1440, "24 min"),
        (3599.9, "59 min 59 s"),
        (3600, "1 h"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
        (86400, "1 d"),
        (273600, "3 d 4 h"),
    ],
)
def test_a_length_of_time_names_no_unit_of_which_there_is_none(qapp: QApplication, seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_length_of_time_is_written_as_the_locale_does(qapp: QApplication) -> None:
    before = QLocale()
    try:
        QLocale.setDefault(QLocale(QLocale.Language.German, QLocale.Country.Germany))
        assert duration(2.5) == "2,5 s"
        assert duration(2.0) == "2 s"
    finally:
        QLocale.setDefault(before)
