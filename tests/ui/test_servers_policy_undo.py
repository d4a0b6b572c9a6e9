"""Changes of policies inside the time to undo: one bar, and undo sets every tool back to what it first was."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QApplication

from app.core.posthog.types import Project
from tests.ui._servers_fakes import FakeBackend, settle, tool, until
from tests.ui.test_servers_place import VENDOR, Desk, desk

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


async def set_policy(on: Desk, names: list[str], state: str) -> None:
    bar = on.place.page.page.undo
    count = len(bar.pending)
    on.place.controller.set_policies("i1", names, state)
    await until(lambda: len(bar.pending) > count)
    await settle()


def policies(backend: FakeBackend) -> list[str]:
    return [each.policy for each in backend.servers.kept["i1"]]


async def test_undo_sets_each_tool_back_once_to_what_it_was_before_the_first_change(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        tools = [tool("a", policy="approved"), tool("b", 1, policy="needs_approval")]
        backend = await on.show(FakeBackend([VENDOR], {"i1": tools}))
        bar = on.place.page.page.undo
        await set_policy(on, ["a"], "do_not_use")
        await set_policy(on, ["a", "b"], "needs_approval")
        await set_policy(on, ["b"], "do_not_use")
        asked = len(backend.servers.asked)
        bar.undo()
        await until(lambda: policies(backend) == ["approved", "needs_approval"])
        await settle()
        sent = [each for each in backend.servers.asked[asked:] if each[0] == "policy"]
        assert sorted(sent) == [("policy", "a", "approved"), ("policy", "b", "needs_approval")]


async def test_an_undo_of_policies_leaves_nothing_to_undo(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        backend = await on.show(FakeBackend([VENDOR], {"i1": [tool("a", policy="approved")]}))
        bar = on.place.page.page.undo
        await set_policy(on, ["a"], "do_not_use")
        bar.undo()
        await until(lambda: policies(backend) == ["approved"])
        await settle()
        assert not bar.open
        await set_policy(on, ["a"], "approved")
        assert bar.open


async def test_the_policies_of_another_account_are_not_set_by_an_undo_of_the_former(qapp: QApplication) -> None:
    async with desk(qapp) as on:
        await on.show(FakeBackend([VENDOR], {"i1": [tool("a", policy="approved")]}))
        await set_policy(on, ["a"], "do_not_use")
        other = FakeBackend([VENDOR], {"i1": [tool("a", policy="needs_approval")]})
        other.project = Project(2, "Other")
        await on.show(other)
        assert not on.place.page.page.undo.open
        on.place.page.page.undo.undo()
        await settle()
        assert policies(other) == ["needs_approval"]
