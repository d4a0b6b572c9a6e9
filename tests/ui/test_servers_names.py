"""Names and texts of servers: what cannot be seen is marked everywhere, what looks alike is told apart, what is long
is folded."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest
from msgspec.structs import replace as replace_fields
from PySide6.QtWidgets import QApplication, QLabel

from app.ui.servers.rows import ToolIndex
from tests.ui._servers_fakes import WRITES, FakeBackend, actions, installation, installed, own, settle, tool, until
from tests.ui.test_servers_place import desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

HIDDEN = "delete\u202eeteled"
MARKED = "delete‹U+202E›eteled"


def titles(tools: list[Any]) -> list[str]:
    return [row.title for group in ToolIndex(tools).groups() for row in group.rows]


@pytest.mark.parametrize(
    ("one", "other"),
    [("delete_all", "delete_all\u200b"), ("read\u00a0file", "read file"), ("a\u2066b\u2069", "ab"), ("x", "x\ufe0f")],
)
def test_names_that_differ_in_what_cannot_be_seen_differ_in_the_list(one: str, other: str) -> None:
    shown = titles([tool(one), tool(other, 1)])
    assert len(set(shown)) == 2
    assert all(character.isprintable() for title in shown for character in title)


@pytest.mark.parametrize(("one", "other"), [("Send", "Send"), ("Send", "SEND"), ("Send", "Ｓend"), ("Send", "Send ")])
def test_tools_with_titles_that_look_alike_are_listed_with_their_names(one: str, other: str) -> None:
    shown = titles([tool("send_mail", title=one), tool("send_money", 1, title=other), tool("find", 2, title="Find")])
    assert shown == [f"{one}  (send_mail)", f"{other}  (send_money)", "Find"]


async def test_marks_are_in_list_header_question_and_palette(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        server = installed(replace_fields(installation(), name="Good\u200bMail"))
        tricky = tool(HIDDEN, title="Read\u200d", annotations=WRITES, policy="approved", description="a\u202eb")
        await on.show(FakeBackend([server, own()], {"i1": [tricky]}))
        page = on.place.page
        await on.open(f"i1/{HIDDEN}")
        assert page.page.title.text() == "Good‹U+200B›Mail"
        [row, _] = on.place.pane.servers.rows.lines()
        assert row.title == "Good‹U+200B›Mail"
        assert on.titles() == ["Read‹U+200D›"]
        assert page.tool.title.text() == "Read‹U+200D›"
        assert page.tool.name.text() == MARKED
        assert page.tool.description.plain.text() == "a‹U+202E›b"
        session = page.tool.session
        assert session is not None
        session.ask({"query": "x"})
        await settle()
        question = page.tool.question
        words = " ".join(label.text() for label in question.findChildren(QLabel))
        assert "Run Read‹U+200D›?" in words
        assert MARKED in words
        assert "Good‹U+200B›Mail" in words
        commands = [command.title for command in on.place.items()]
        assert "Go to tool Read‹U+200D› of Good‹U+200B›Mail" in commands
        hidden = {character for text in (words, *commands, *on.navigator.said) for character in text}
        assert not hidden & {"\u200b", "\u200d", "\u202e"}
        # What is sent keeps its characters.
        question.run.click()
        backend = on.backend
        assert backend is not None
        await until(lambda: backend.servers.calls)
        assert backend.servers.calls[0].tool == HIDDEN


async def test_a_change_of_policy_names_the_tool_with_its_marks(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([installed(installation())], {"i1": [tool(HIDDEN, policy="approved")]}))
        on.place.controller.set_policies("i1", [HIDDEN], "do_not_use")
        await until(lambda: on.place.page.page.undo.open)
        assert on.place.page.page.undo.text == f"{MARKED} set to Block"


async def test_a_megabyte_of_description_is_folded_quick_and_shown_whole_on_request(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        long = "word " * 200_000 + "the end"
        await on.show(FakeBackend([own()], {"posthog": [tool("find"), tool("long", 1, description=long)]}))
        await on.open("posthog/find")
        start = process_time()
        await on.open("posthog/long")
        description = on.place.page.tool.description
        assert len(description.plain.text()) < 2_000
        # A wide bound: laid out whole, it takes many seconds.
        assert process_time() - start < 2
        [more] = [words for words in actions(description) if words.startswith("Show all")]
        actions(description)[more]()
        await settle()
        assert description.plain.text().endswith("the end")
        await on.open("posthog/find")
        assert description.plain.text() == "Does find."


async def test_a_large_schema_is_written_out_whole_and_only_when_it_is_opened(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        names = {f"argument_{n}": {"type": "string", "description": "x" * 60} for n in range(3_000)}
        schema = {"type": "object", "properties": names}
        await on.show(FakeBackend([own()], {"posthog": [tool("large", schema=schema), tool("find", 1)]}))
        await on.open("posthog/large")
        page = on.place.page.tool
        assert page._schema.text() == ""
        page._schema_button.click()
        assert "argument_2999" in page._schema.text()
        await on.open("posthog/find")
        assert page._schema.isHidden()
        page._schema_button.click()
        assert "argument_2999" not in page._schema.text()
        assert '"query"' in page._schema.text()
