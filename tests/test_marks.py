"""Text of others: what cannot be seen is marked, what writing needs stays."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.marks import isolated, revealed, revealed_name


@pytest.mark.parametrize(
    "hidden",
    [
        "\u202e", "\u202a", "\u2066", "\u2069", "\u200e", "\u200f", "\u061c", "\u200b", "\u200c", "\u200d", "\u2060",
        "\ufeff", "\xad", "\u180e", "\u3164", "\uffa0", "\u2800", "\u034f", "\ufe0f", "\U000e0041", "\x00", "\x1b",
        "\x85", "\u2028", "\u2029", "\ud800", "\ufdd0",
    ],
)  # fmt: skip
def test_two_names_that_differ_in_something_invisible_do_not_look_alike(hidden: str) -> None:
    mark = f"‹U+{ord(hidden):04X}›"
    assert revealed_name(f"delete{hidden}_all") == f"delete{mark}_all"
    assert revealed_name(f"{hidden}delete") == f"{mark}delete"
    assert revealed_name(f"delete{hidden}") == f"delete{mark}"
    assert revealed(f"delete{hidden}_all") == f"delete{mark}_all"


@pytest.mark.parametrize("blank", ["\xa0", "\u2003", "\u202f", "\u3000", "\t", "\n", "\r"])
def test_in_a_name_a_blank_that_is_no_space_is_marked(blank: str) -> None:
    assert revealed_name(f"a{blank}b") == f"a‹U+{ord(blank):04X}›b"


@pytest.mark.parametrize(
    "text",
    [
        "plain text, with \ttabs\nand lines\r\nof two kinds",
        "👩‍💻 and 👨‍👩‍👧‍👦 and 🏳️‍🌈 and 👍🏽 and ❤️ and 1️⃣ and ©️ and ‼️",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "می‌خواهم",
        "क्‍ष",
        "עברית ו-English",
        "葛\U000e0100城",
        "no-break\xa0space",
    ],
)
def test_what_writing_needs_stays(text: str) -> None:
    assert revealed(text) == text


def test_a_lone_carriage_return_is_marked() -> None:
    assert revealed("safe\rdanger") == "safe‹U+000D›danger"


@given(st.text(), st.text())
def test_names_that_differ_look_different(one: str, two: str) -> None:
    shown = revealed_name(one), revealed_name(two)
    assert one == two or shown[0] != shown[1] or "‹" in one + two


@given(st.text(st.characters()))
def test_nothing_that_is_shown_of_a_name_is_a_control_or_format_character(name: str) -> None:
    assert not any(
        unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in revealed_name(name)
    )


def test_right_to_left_text_is_isolated_and_other_text_is_not() -> None:
    assert isolated("מחק") == "\u2068מחק\u2069"
    assert isolated("حذف") == "\u2068حذف\u2069"
    assert isolated("delete") == "delete"
