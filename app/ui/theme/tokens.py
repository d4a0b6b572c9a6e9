"""The design tokens: colours of both schemes, spacing, radii, sizes. No other file has such a literal."""

from __future__ import annotations

from typing import Literal, NamedTuple

Tone = Literal["text", "muted", "accent", "good", "attention", "bad", "info"]
TextRole = Literal["caption", "body", "strong", "lead", "section", "title", "mono"]


class Colours(NamedTuple):
    """The colours of one scheme, as `#RRGGBB`. `*_fill` are the backgrounds of banners and cards of that tone.

    `field` is the edge of what can be filled in or chosen from: nothing else says where it is (WCAG 2.2, 1.4.11).
    `disabled` is for the words of what cannot be chosen where `muted` is already the colour of what can.
    """

    window: str
    surface: str
    raised: str
    hover: str
    selection: str
    border: str
    field: str
    text: str
    muted: str
    disabled: str
    accent: str
    on_accent: str
    accent_hover: str
    good: str
    attention: str
    bad: str
    info: str
    good_fill: str
    attention_fill: str
    bad_fill: str
    info_fill: str
    ring: str


LIGHT = Colours(
    window="#FAFAF8",
    surface="#FFFFFF",
    raised="#F3F3F0",
    hover="#F3F3F0",
    selection="#F7ECE4",
    border="#E2E2DD",
    field="#8A8A84",
    text="#1B1D21",
    muted="#5B616C",
    disabled="#767C86",
    accent="#A8501C",
    on_accent="#FFFFFF",
    accent_hover="#8F4317",
    good="#1E7348",
    attention="#855700",
    bad="#B0261E",
    info="#2A5CA3",
    good_fill="#EAF4EE",
    attention_fill="#FBF2DF",
    bad_fill="#FBEDEB",
    info_fill="#EBF1F9",
    ring="#A8501C",
)

DARK = Colours(
    window="#16171A",
    surface="#1D1F23",
    raised="#26282D",
    hover="#26282D",
    selection="#33291F",
    border="#32353C",
    field="#70767F",
    text="#E9EAEC",
    muted="#9CA3AF",
    disabled="#757C87",
    accent="#F0A46E",
    on_accent="#1B1D21",
    accent_hover="#F6BC93",
    good="#5FC793",
    attention="#E9B650",
    bad="#F38B83",
    info="#88B5F2",
    good_fill="#1B2A22",
    attention_fill="#2E2716",
    bad_fill="#33201F",
    info_fill="#1C2633",
    ring="#F0A46E",
)

TONES: tuple[Tone, ...] = ("text", "muted", "accent", "good", "attention", "bad", "info")
GROUNDS = ("window", "surface", "raised", "hover", "selection")
TONED_FILLS = ("good_fill", "attention_fill", "bad_fill", "info_fill")


def high_contrast(colours: Colours) -> Colours:
    """The same scheme with lines and secondary text as strong as the text itself."""
    return colours._replace(border=colours.muted, field=colours.muted, muted=colours.text, disabled=colours.muted)


SPACE_1 = 4
SPACE_2 = 8
SPACE_3 = 12
SPACE_4 = 16
SPACE_5 = 24
SPACE_6 = 32

RADIUS_CONTROL = 6
RADIUS_CARD = 10

ROW = 32
ROW_TWO_LINES = 50
ROW_DENSE = 28
CONTROL = 30
# Rows of the compact density, as a part of the usual height.
COMPACT = 0.82
# The least height and width of what can be clicked (WCAG 2.2, 2.5.8).
TARGET = 24
ICON = 16
GLYPH = 14
RING = 2
SELECTION_BAR = 2
RAIL = 208
RAIL_NARROW = 64
# Below this width of the window the rail shows only icons.
WINDOW_WIDE = 840
# The list of a place, until a person moves its edge.
LIST = 320
# Of a wide place the list takes this part in percent: a fixed width would elide titles beside an empty page.
LIST_SHARE = 30
READING_WIDTH = 640

FONT_PIXELS: dict[TextRole, float] = {
    "caption": 12,
    "body": 13,
    "strong": 13,
    "lead": 15,
    "section": 15,
    "title": 20,
    "mono": 12.5,
}
# The weights of CSS, in the order in which they are taken where a font has no medium face.
EMPHASIS = (500, 600, 700)
MEDIUM_ROLES = frozenset({"strong", "section", "title"})

FILTER_DEBOUNCE_MS = 150
SHOW_PROGRESS_AFTER_MS = 150


def luminance(colour: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2, "relative luminance")."""

    def channel(value: int) -> float:
        share = value / 255
        return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)

    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return 0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue)


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)
