"""Making text of others safe to show: characters that are invisible or change the direction become visible marks.

Two names can look alike and be different: `delete` and `delete` with a zero-width space. And one direction character
(Unicode Standard Annex 9) can show a name backwards, together with everything behind it on the line. What is stored,
sent, copied and saved keeps its characters; `revealed` and `isolated` are for what is shown.
"""

from __future__ import annotations

import re
import unicodedata

# Default-ignorable and format characters (Unicode 15, `Default_Ignorable_Code_Point` and `Cf`), blanks that are drawn
# as nothing, control characters, surrogates, noncharacters at the end of the basic plane.
_HIDDEN = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    "\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufdd0-\ufdef\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_IN_TEXT = re.compile(f"[{_HIDDEN}]|\r(?!\n)")
# In a name no line ends and no joiner is expected, and no blank but the space.
_IN_NAME = re.compile(f"[{_HIDDEN}\t\n\r\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\u200f\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff]")

FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"
_JOINERS = "\u200c\u200d"
_EMOJI_STYLES = "\ufe0e\ufe0f"
_KEYCAP = "\u20e3"
_BLACK_FLAG = "\U0001f3f4"
_TAGS = range(0xE0020, 0xE0080)
# Scripts whose letters are shaped by joiners: from Arabic to Mongolian.
_JOINING_SCRIPTS = range(0x0600, 0x1900)
_IDEOGRAPHS = (range(0x3400, 0xA000), range(0xF900, 0xFB00), range(0x20000, 0x32400))


def revealed(text: str) -> str:
    """Text of several lines, with marks such as `‹U+202E›` for what cannot be seen.

    Joiners and variation selectors stay where writing needs them: in emoji, and in scripts that are shaped by them.
    """
    return _IN_TEXT.sub(_mark_in_text, text)


def revealed_name(name: str) -> str:
    """A name in one line, with a mark for every character that cannot be seen or that only looks like a space."""
    return _IN_NAME.sub(lambda found: _mark(found[0]), name)


def isolated(text: str) -> str:
    """Text that is to stand among other text on a line: right-to-left writing in it cannot reorder its neighbours."""
    if _RIGHT_TO_LEFT.search(text) is None:
        return text
    return f"{FIRST_STRONG_ISOLATE}{text}{POP_ISOLATE}"


def _mark(character: str) -> str:
    return f"‹U+{ord(character):04X}›"


def _mark_in_text(found: re.Match[str]) -> str:
    text, at, character = found.string, found.start(), found[0]
    before = text[at - 1] if at else ""
    after = text[at + 1] if at + 1 < len(text) else ""
    return character if _belongs(character, before, after, text, at) else _mark(character)


def _belongs(character: str, before: str, after: str, text: str, at: int) -> bool:
    """Whether writing needs the character where it stands."""
    if not before:
        return False
    if character in _JOINERS:
        joins_emoji = character == "\u200d" and _is_symbol(before) and _is_symbol(after)
        return joins_emoji or (_is_joining(before) and _is_joining(after))
    if character in _EMOJI_STYLES:
        return _is_symbol(before) or (before in "#*0123456789" and after == _KEYCAP) or before in "‼⁉〰〽"
    code = ord(character)
    if code in _TAGS:
        # The flags of England, Scotland and Wales: a black flag and tags.
        return re.search(f"{_BLACK_FLAG}[\U000e0020-\U000e007f]*$", text[max(0, at - 8) : at]) is not None
    if 0xFE00 <= code <= 0xFE0D or 0xE0100 <= code <= 0xE01EF:
        return any(ord(before) in ideographs for ideographs in _IDEOGRAPHS)
    return 0x180B <= code <= 0x180F and 0x1820 <= ord(before) <= 0x18AA


def _is_symbol(character: str) -> bool:
    # An emoji, or what stands behind one: a style, a skin colour.
    return bool(character) and (character in _EMOJI_STYLES or unicodedata.category(character) in {"So", "Sk", "Sm"})


def _is_joining(character: str) -> bool:
    return bool(character) and ord(character) in _JOINING_SCRIPTS and unicodedata.category(character)[0] in "LM"
