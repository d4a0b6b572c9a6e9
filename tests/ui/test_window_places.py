"""Where the window goes: by the screens there are, known by their numbers, and never where it cannot be seen."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import QPoint, QRect, QSize
from PySide6.QtWidgets import QApplication

from app.ui.shell.window_places import (
    MOST,
    WindowPlace,
    can_be_moved,
    choose_place,
    inside,
    nearest_screen,
    read_places,
    screen_name,
    screens_name,
    write_places,
)


class Monitor:
    def __init__(self, name: str, x: int, width: int, number: str = "") -> None:
        self._name, self._number = name, number
        self._area = QRect(x, 0, width, 1000)

    def name(self) -> str:
        return self._name

    def manufacturer(self) -> str:
        return "Maker"

    def model(self) -> str:
        return "Model"

    def serialNumber(self) -> str:
        return self._number

    def geometry(self) -> QRect:
        return self._area

    def availableGeometry(self) -> QRect:
        return self._area


LAPTOP, DESK = Monitor("eDP-1", 0, 1400), Monitor("DP-1", 1400, 1900, "n-1")


def plugged(monkeypatch: pytest.MonkeyPatch, *monitors: Monitor) -> Any:
    monkeypatch.setattr(QApplication, "screens", lambda: list(monitors))
    return screens_name(list(monitors))  # type: ignore[arg-type]


def place(screens: str, monitor: Monitor, x: int = 10) -> WindowPlace:
    return WindowPlace(screens, screen_name(monitor), x, 20, 900, 700)  # type: ignore[arg-type]


def test_each_set_of_screens_has_its_own_place(monkeypatch: pytest.MonkeyPatch) -> None:
    both = plugged(monkeypatch, LAPTOP, DESK)
    alone = plugged(monkeypatch, LAPTOP)
    places = [place(both, DESK, 1), place(alone, LAPTOP, 2)]
    assert choose_place(places) == (places[1], LAPTOP)
    plugged(monkeypatch, LAPTOP, DESK)
    assert choose_place(places) == (places[0], DESK)
    assert choose_place(list(reversed(places))) == (places[0], DESK)


def test_a_screen_is_known_in_another_socket_and_at_other_coordinates(monkeypatch: pytest.MonkeyPatch) -> None:
    both = plugged(monkeypatch, LAPTOP, DESK)
    moved = Monitor("HDMI-2", -1900, 1900, "n-1")
    assert plugged(monkeypatch, LAPTOP, moved) != both
    known = place(both, DESK)
    assert choose_place([known]) == (known, moved)


def test_of_a_place_whose_screen_is_gone_the_size_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    known = place(plugged(monkeypatch, LAPTOP, DESK), DESK)
    plugged(monkeypatch, LAPTOP)
    assert choose_place([known]) == (known, None)
    assert choose_place([]) is None


def test_places_are_kept_for_a_few_sets_of_screens(monkeypatch: pytest.MonkeyPatch) -> None:
    stored: Any = []
    for number in range(MOST + 3):
        stored = write_places(read_places(stored), WindowPlace(f"set {number}", "s", 1, 2, 800, 600))
    stored = write_places(read_places(stored), WindowPlace("set 5", "s", 9, 2, 800, 600))
    found = read_places(stored)
    assert len(found) == MOST
    assert [each.screens for each in found][-2:] == ["set 10", "set 5"]
    assert found[-1].x == 9


@pytest.mark.parametrize(
    "stored",
    [
        None,
        7,
        "x",
        {"a": 1},
        [1],
        [["a", "b", 1, 2, 3, 4]],
        [["a", "b", 1, 2, 3, 4, "upside down"]],
        [["a", "b", 1, 2, 3, True, "normal"]],
        [["a", "b", 1, 2, 10**9, 4, "normal"]],
        [["a", 5, 1, 2, 3, 4, "normal"]],
        [["a", "b", 1, 2, 3, 4, []]],
    ],
)
def test_what_makes_no_sense_is_no_place(stored: Any) -> None:
    assert read_places(stored) == []


def test_a_window_is_brought_back_whose_title_bar_cannot_be_taken_hold_of(monkeypatch: pytest.MonkeyPatch) -> None:
    plugged(monkeypatch, LAPTOP, DESK)
    screens: Any = [LAPTOP, DESK]
    assert can_be_moved(QRect(1300, 50, 900, 700), screens)
    assert can_be_moved(QRect(-800, 50, 900, 700), screens)
    assert not can_be_moved(QRect(-860, 50, 900, 700), screens)
    assert not can_be_moved(QRect(100, -40, 900, 700), screens)
    assert not can_be_moved(QRect(100, 995, 900, 700), screens)
    assert nearest_screen(QRect(1300, 50, 900, 700)) is DESK
    assert nearest_screen(QRect(4000, 50, 900, 700)) is DESK
    assert nearest_screen(QRect(-2000, 50, 900, 700)) is LAPTOP
    at = inside(QPoint(4000, -50), QSize(900, 700), DESK, QSize(8, 40))  # type: ignore[arg-type]
    assert at == QPoint(3300 - 908, 0)
