"""Text of agents and programs is bounded and safe before it is laid out, and diffs say what changed."""

from __future__ import annotations

import time

from app.core.runs.items import Plan, PlanEntry, TextPart, ToolCall
from app.ui.transcript.cards import card_of
from app.ui.transcript.copied import markdown_of
from app.ui.transcript.diffs import diff_lines
from app.ui.transcript.drawn import MOST_PARTS, first_parts
from app.ui.transcript.shown_text import beginning_of, end_of, of_terminal, one_line, plain


def test_escapes_of_a_terminal_are_left_out() -> None:
    written = "\x1b[31mred\x1b[0m \x1b]8;;http://evil\x07link\x1b]8;;\x07 \x1b]0;title\x1b\\end\x1b(B\x9b1mx"
    assert of_terminal(written) == "red link endx"


def test_what_a_program_wrote_over_is_gone() -> None:
    assert of_terminal("10 %\r50 %\r100 %\r\nab\x08c\n") == "100 %\nac\n"


def test_an_unfinished_escape_hides_nothing_that_follows_on_the_next_line() -> None:
    assert "next" in of_terminal("\x1b[31\nnext")


def test_hidden_characters_become_marks_and_stacked_marks_are_cut() -> None:
    assert plain("a\u202eb\x00c") == "a‹U+202E›b‹U+0000›c"
    assert plain("e" + "\u0301" * 500) == "e" + "\u0301" * 4


def test_a_line_of_a_megabyte_is_broken_and_bounded() -> None:
    began = time.process_time()
    shown = plain(beginning_of("x" * 1_000_000, 12_000, 100).text)
    assert max(map(len, shown.split("\n"))) <= 4_000
    assert len(shown) < 12_010
    assert time.process_time() - began < 0.5


def test_the_beginning_and_the_end_of_a_text_are_whole_lines() -> None:
    text = "".join(f"line {n}\n" for n in range(100))
    first = beginning_of(text, 1_000, 3)
    assert first.text == "line 0\nline 1\nline 2"
    assert first.left_out == len(text) - len(first.text)
    last = end_of(text, 20, 50)
    assert last.text == "line 98\nline 99"
    assert last.left_out == text.index("line 98")
    assert end_of(text, 1_000, 2).text == "line 98\nline 99"
    assert end_of("short", 100, 5) == ("short", 0)
    assert beginning_of("short", 100, 5) == ("short", 0)


def test_a_name_is_one_bounded_line() -> None:
    assert one_line("\n\n first\tline\nsecond") == "first‹U+0009›line"
    assert one_line("y" * 5_000) == "y" * 300 + "…"


def test_a_diff_shows_the_changes_with_context_and_where_they_are() -> None:
    old = "".join(f"{n}\n" for n in range(1, 31))
    new = old.replace("5\n", "five\n", 1).replace("\n25\n", "\n25\nadded\n")
    assert list(diff_lines(old, new)) == [
        *("@ 2", " 2", " 3", " 4", "-5", "+five", " 6", " 7", " 8"),
        *("@ 23", " 23", " 24", " 25", "+added", " 26", " 27", " 28"),
    ]
    assert list(diff_lines(None, "a\nb")) == ["+a", "+b"]
    assert list(diff_lines("same\n", "same\n")) == []


def test_a_diff_of_two_long_files_without_a_common_line_takes_no_noticeable_time() -> None:
    old, new = "".join(f"a{n}\n" for n in range(20_000)), "".join(f"b{n}\n" for n in range(20_000))
    began = time.process_time()
    assert len(list(diff_lines(old, new))) == 40_000
    assert time.process_time() - began < 0.5


def test_results_keep_their_lines_unless_they_are_markdown() -> None:
    def shown(kind: str, text: str) -> list[tuple[str, str]]:
        call = ToolCall(key="c", call_id="c", title="Call", kind=kind, parts=(TextPart(text),))
        return [(part.kind, part.text) for part in card_of(call).parts()]

    lines = "def total():\n    return 0"
    for kind in ("read", "search", "execute"):
        assert shown(kind, f"{lines}\n") == [("mono", lines)]
        assert shown(kind, f"```py\n{lines}\n```") == [("markdown", f"```py\n{lines}\n```")]
    assert shown("execute", "\x1b[31mred\x1b[0m") == [("mono", "red")]
    assert shown("fetch", lines) == [("markdown", lines)]
    assert shown("mcp", '{"a": [1, 2]}') == [("mono", '{\n  "a": [\n    1,\n    2\n  ]\n}')]
    assert shown("mcp", "[a link](https://example.com)") == [("markdown", "[a link](https://example.com)")]
    assert shown("mcp", "[" * 5_000)[0][0] == "markdown"
    call = ToolCall(key="c", call_id="c", title="Read it", kind="read", parts=(TextPart(lines),))
    assert markdown_of(call) == f"**Read it** · Waiting\n\n```\n{lines}\n```"


def test_of_a_long_list_as_much_is_shown_as_can_be_laid_out_at_once() -> None:
    def shown(count: int) -> list[str]:
        entries = tuple(PlanEntry(str(number), "pending") for number in range(count))
        return [part.text for part in first_parts(card_of(Plan(key="p", entries=entries)).parts())]

    assert shown(MOST_PARTS) == [str(number) for number in range(MOST_PARTS)]
    *some, last = shown(20_000)
    assert len(some) == MOST_PARTS
    assert last == "More follows. The raw log has all of it."


def test_what_an_agent_calls_a_status_or_a_kind_is_one_safe_line() -> None:
    card = card_of(ToolCall(key="c", call_id="c", title="", kind="\u202egnp" * 5_000, status="\u202etxt" * 5_000))
    assert card.state is not None
    for words in (card.title, card.state.word):
        assert "\u202e" not in words
        assert len(words) < 1_000
