"""The theme: readable in both schemes, switched live, scaled with the text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

import pytest
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication, QLabel

from app.core.auth.status import CredentialState, Trouble
from app.core.mcp.servers.server import ServerState
from app.ui.server_states import SERVER_STATES
from app.ui.servers.policy import POLICY_STATES, Policy, policy_state
from app.ui.servers.wording import CALL_STATES, CallState
from app.ui.shell.credential_words import NOT_STORED, RENEWING, STATES, TROUBLES
from app.ui.shell.timeline_words import STEP_STATES
from app.ui.tasks.wording import ARCHIVED, RUN_STATES, SEND_STATES, SendState, run_state
from app.ui.theme import State, apply_theme, icons, theme, tokens
from app.ui.theme.tokens import DARK, GROUNDS, LIGHT, TONED_FILLS, TONES, Colours, contrast, high_contrast


@pytest.fixture(autouse=True)
def light_again(qapp: QApplication) -> Iterator[None]:
    apply_theme(qapp, "light")
    yield
    apply_theme(qapp, "light")


SCHEMES = {
    "light": LIGHT,
    "dark": DARK,
    "light, high contrast": high_contrast(LIGHT),
    "dark, high contrast": high_contrast(DARK),
}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES.keys())
def test_every_text_colour_can_be_read_on_every_ground(scheme: Colours) -> None:
    poor = [
        f"{tone} on {ground}: {contrast(getattr(scheme, tone), getattr(scheme, ground)):.2f}"
        for ground in (*GROUNDS, *TONED_FILLS)
        for tone in TONES
        if contrast(getattr(scheme, tone), getattr(scheme, ground)) < 4.5
    ]
    assert not poor


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES.keys())
def test_words_on_a_filled_button_and_the_focus_ring_stand_out(scheme: Colours) -> None:
    assert contrast(scheme.on_accent, scheme.accent) >= 4.5
    assert contrast(scheme.on_accent, scheme.accent_hover) >= 4.5
    for ground in GROUNDS:
        assert contrast(scheme.ring, getattr(scheme, ground)) >= 3


def test_switching_recolours_what_is_open(qapp: QApplication, qtbot) -> None:
    label = QLabel("x")
    qtbot.addWidget(label)
    label.show()
    before = label.palette().windowText().color()
    with qtbot.waitSignal(theme().changed, timeout=2000):
        apply_theme(qapp, "dark")
    assert theme().dark
    assert label.palette().windowText().color() != before
    assert label.palette().window().color() == QColor(DARK.window)


def test_the_system_scheme_is_followed_live(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    current = apply_theme(qapp, "system")

    class Hints:
        scheme = Qt.ColorScheme.Dark

        def colorScheme(self) -> Qt.ColorScheme:
            return self.scheme

        def accessibility(self) -> Hints:
            return self

        def contrastPreference(self) -> Qt.ContrastPreference:
            return Qt.ContrastPreference.NoPreference

    hints = Hints()
    monkeypatch.setattr(current, "_hints", hints)
    current.follow_system()
    assert current.dark
    hints.scheme = Qt.ColorScheme.Light
    current.follow_system()
    assert not current.dark


def test_a_chosen_scheme_does_not_follow_the_system(qapp: QApplication) -> None:
    current = apply_theme(qapp, "dark")
    current.follow_system()
    assert current.dark


@pytest.mark.parametrize(("asked", "got"), [(1.0, 1.0), (1.5, 1.5), (3.0, 2.0), (0.2, 1.0)])
def test_text_and_lengths_scale_together_within_limits(qapp: QApplication, asked: float, got: float) -> None:
    current = apply_theme(qapp, "light", asked)
    assert current.scale == got
    assert current.px(tokens.ROW) == round(tokens.ROW * got)
    assert current.font("body").pixelSize() == round(13 * got)


def test_applying_the_same_again_costs_nothing(qapp: QApplication, qtbot) -> None:
    apply_theme(qapp, "light")
    with qtbot.assertNotEmitted(theme().changed):
        apply_theme(qapp, "light")


@pytest.mark.parametrize("name", sorted(icons.DRAWINGS))
def test_every_drawing_paints_inside_its_square(qapp: QApplication, name: str) -> None:
    image = QImage(64, 64, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    icons.paint_icon(painter, name, QRectF(16, 16, 32, 32), QColor("black"))
    painter.end()
    inked = [(x, y) for x in range(64) for y in range(64) if image.pixelColor(x, y).alpha() > 40]
    assert inked
    assert all(15 <= x <= 48 and 15 <= y <= 48 for x, y in inked)


TABLES: tuple[tuple[State, ...], ...] = (
    (*RUN_STATES.values(), ARCHIVED),
    tuple(shown for shown, _ in SEND_STATES.values()),
    tuple(SERVER_STATES.values()),
    tuple(CALL_STATES.values()),
    tuple(POLICY_STATES.values()),
    (*STATES.values(), *dict.fromkeys(TROUBLES.values()), NOT_STORED, RENEWING),
    tuple(STEP_STATES.values()),
)


def test_every_state_has_a_drawing_a_word_and_a_tone() -> None:
    for table in TABLES:
        for each in table:
            assert each.glyph in icons.DRAWINGS
            assert each.word
            assert each.tone in TONES


def test_states_of_one_table_differ_in_glyph_or_word_and_not_in_colour_alone() -> None:
    for table in TABLES:
        words = [each.word for each in table]
        assert len(set(words)) == len(words)


def test_every_value_of_an_enum_has_its_state() -> None:
    tables: list[tuple[Iterable[Enum], Mapping[Any, Any]]] = [
        (ServerState, SERVER_STATES),
        (CallState, CALL_STATES),
        (Policy, POLICY_STATES),
        (SendState, SEND_STATES),
        (CredentialState, STATES),
        (Trouble, TROUBLES),
    ]
    for values, table in tables:
        assert set(values) == set(table)


def test_a_state_of_a_newer_server_is_shown_by_its_own_name(qapp: QApplication) -> None:
    assert run_state("waiting_for_approval").word == "Waiting for approval"
    assert policy_state(None).word == "Ask"
