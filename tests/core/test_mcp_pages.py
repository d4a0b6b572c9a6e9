"""The pages of a tool list: every one is read, and no list is without end."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.errors import BurrowError, ProtocolTrouble
from app.core.mcp.protocol import pages
from app.core.mcp.protocol.pages import BROKEN_OFF, MORE, NO_CURSOR, REPEATS
from tests.core._mcp_server import ENVELOPE, Reply, Scripted, tool
from tests.core.test_mcp_connection import connected

ABSENT = object()


def page(cursor: object, *names: str) -> Reply:
    following = {} if cursor is ABSENT else {"nextCursor": cursor}
    return Reply(result={"tools": [tool(name) for name in names], **following, **ENVELOPE})


async def walked(*replies: Reply) -> tuple[list[str], str, list[Any]]:
    """The names of the tools, the note, and the cursors that were asked for."""
    async with Scripted() as server, connected(server.url) as connection:
        server.next["tools/list"].extend(replies)
        names = [tool.name for tool in await connection.tools()]
        asked = [seen.message["params"].get("cursor") for seen in server.seen if seen.method == "tools/list"]
        return names, connection.tools_note, asked


async def test_an_empty_cursor_is_a_cursor() -> None:
    assert await walked(page("", "a"), page(ABSENT, "b")) == (["a", "b"], "", [None, ""])


@pytest.mark.parametrize("end", [None, ABSENT])
async def test_null_and_absence_end_a_list(end: object) -> None:
    assert await walked(page("x", "a"), page(end, "b")) == (["a", "b"], "", [None, "x"])


async def test_a_cursor_that_comes_again_ends_the_walk_with_a_note() -> None:
    names, note, asked = await walked(page("x", "a"), page("y", "b"), page("x", "c"), page("z", "d"))
    assert (names, note, asked) == (["a", "b", "c"], REPEATS, [None, "x", "y"])


async def test_an_empty_cursor_that_leads_back_to_the_first_page_lists_each_tool_once() -> None:
    assert await walked(page("", "a", "b"), page("", "a", "b")) == (["a", "b"], REPEATS, [None, ""])


async def test_pages_that_come_again_under_new_cursors_end_the_walk() -> None:
    cursors = (page(str(number), "a", "b") for number in range(9))
    assert await walked(*cursors) == (["a", "b"], REPEATS, [None, "0"])


async def test_a_tool_that_two_pages_have_is_listed_once_and_what_is_new_is_not_lost() -> None:
    assert await walked(page("x", "a", "b"), page("y", "b", "c"), page(None, "d"))== (
        ["a", "b", "c", "d"], "", [None, "x", "y"]
    )  # fmt: skip


async def test_an_empty_page_in_the_middle_ends_nothing() -> None:
    assert await walked(page("x", "a"), page("y"), page(None, "b")) == (["a", "b"], "", [None, "x", "y"])


@pytest.mark.parametrize("cursor", [7, False, ["x"], {}])
async def test_a_cursor_that_is_no_text_ends_the_walk_with_a_note(cursor: object) -> None:
    assert await walked(page(cursor, "a")) == (["a"], NO_CURSOR, [None])


@pytest.mark.parametrize("code", [-32602, -32603])
@pytest.mark.parametrize("status", [200, 400])
async def test_a_refused_cursor_leaves_the_tools_that_were_listed(code: int, status: int) -> None:
    refused = Reply(status, error={"code": code, "message": "Unknown cursor"})
    assert await walked(page("", "a"), refused) == (["a"], BROKEN_OFF, [None, ""])


async def test_a_refused_first_page_is_an_error() -> None:
    with pytest.raises(ProtocolTrouble):
        await walked(Reply(error={"code": -32602, "message": "No list"}))


async def test_a_later_page_that_fails_for_another_reason_is_an_error() -> None:
    with pytest.raises(BurrowError):
        await walked(page("x", "a"), Reply(500, body=b"down", content_type="text/plain"))


async def test_a_list_beyond_the_limits_says_that_there_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGES_LIMIT", 2)
    assert (await walked(page("1", "a"), page("2", "b"), page("3", "c")))[:2] == (["a", "b"], MORE)
    monkeypatch.setattr(pages, "TOOLS_LIMIT", 1)
    assert (await walked(page("1", "a", "b"), page("2", "c")))[:2] == (["a"], MORE)
