"""The form on the screen is that of the tool on the screen, also when making it fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from PySide6.QtWidgets import QApplication

from app.core.mcp.forms.model import FormModel, Presence
from app.ui.servers import form as form_module
from app.ui.servers import form_fields
from app.ui.servers.form import ArgumentForm
from app.ui.widgets.lazy_column import LazyColumn
from tests.ui._servers_fakes import FakeBackend, own, settle, tool, until
from tests.ui.test_servers_place import desk


def nested(depth: int) -> Any:
    value: Any = 1
    for _level in range(depth):
        value = [value]
    return value


FIRST = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
SECOND = {"type": "object", "properties": {"other": {"type": "string"}}}


def fail(*_arguments: object, **_named: object) -> NoReturn:
    raise RuntimeError("broken on purpose")


def of_second(function: Callable[..., Any], place: int) -> Callable[..., Any]:
    """`function`, failing for the second schema."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        given = arguments[place]
        schema = given.schema if isinstance(given, FormModel) else given
        if schema == SECOND:
            fail()
        return function(*arguments, **named)

    return wrapped


STAGES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "model": lambda patch: patch.setattr(FormModel, "__init__", of_second(FormModel.__init__, 1)),
    "seed": lambda patch: patch.setattr(FormModel, "seed", of_second(FormModel.seed, 0)),
    "row": lambda patch: patch.setattr(form_module, "row_of", fail),
    "editor": lambda patch: patch.setattr(form_fields.FieldRow, "_make_editor", fail),
    "error": lambda patch: patch.setattr(form_fields, "FieldError", fail),
    "column": lambda patch: patch.setattr(LazyColumn, "__init__", fail),
    "chunk": lambda patch: patch.setattr(LazyColumn, "_fill", fail),
}


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level("CRITICAL"):
        yield


@pytest.mark.parametrize("stage", STAGES)
def test_a_form_that_cannot_be_made_is_json_with_the_reason(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    form = ArgumentForm()
    form.show_tool("first", FIRST)
    form.rows["path"].editor.setPlainText("/etc")  # type: ignore[attr-defined]
    second = {**SECOND, "required": ["other"]} if stage == "editor" else SECOND
    STAGES[stage](monkeypatch)
    form.show_tool("second", second)
    assert form.owner == "second"
    assert form.in_json
    assert "could not make a form" in form._note.text()
    assert not list(form.rows)
    assert form.arguments() == {}
    form.json.edit.setPlainText('{"other": "x"}')
    assert form.arguments() == {"other": "x"}


def test_a_field_that_fails_when_it_comes_into_view_leaves_json_with_what_was_typed(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"f{number}" for number in range(60)]
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    form = ArgumentForm()
    form.show_tool("tool", schema)
    form.rows["f0"].set_presence(Presence.VALUE)
    form.rows["f0"].editor.setPlainText("typed")  # type: ignore[attr-defined]
    monkeypatch.setattr(form_module, "row_of", fail)
    assert form._body is not None
    form._body.part(55)
    QApplication.processEvents()
    assert form.in_json
    assert form.arguments() == {"f0": "typed"}


@pytest.mark.parametrize("depth", [10, 65, 500])
def test_a_default_of_any_depth_has_a_form(qapp: QApplication, depth: int) -> None:
    form = ArgumentForm()
    form.show_tool("tool", {"type": "object", "properties": {"deep": {"type": "array", "default": nested(depth)}}})
    assert form.owner == "tool"


def test_an_empty_form_belongs_to_nobody_and_shows_nothing(qapp: QApplication) -> None:
    form = ArgumentForm()
    form.show_tool("first", FIRST)
    form.clear()
    assert form.owner is None
    assert not list(form.rows)
    assert form.json.isHidden()
    assert form.modes.isHidden()


async def test_a_tool_is_never_called_with_the_arguments_of_another(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(qapp) as on:
        tools = [tool("first", schema=FIRST), tool("second", 1, schema=SECOND)]
        backend = await on.show(FakeBackend([own()], {"posthog": tools}))
        await on.open("posthog/first")
        page = on.place.page.tool
        page.form.rows["path"].editor.setPlainText("/etc")  # type: ignore[attr-defined]
        # Whatever part of the page fails, it fails before the form of the new tool is there.
        monkeypatch.setattr(page, "_show_policy", fail)
        second = on.place.calls.sessions.open(own(), tools[1])
        with pytest.raises(RuntimeError, match="on purpose"):
            page.show_session(second)
        assert page.form.owner is None
        assert not page.can_run
        page.run()
        page.run_as_is()
        await settle()
        assert not backend.servers.calls
        monkeypatch.undo()
        page.show_session(second)
        assert page.form.owner is second
        assert list(page.form.rows) == ["other"]
        page.run()
        await until(lambda: bool(backend.servers.calls))
        assert [(call.tool, call.arguments) for call in backend.servers.calls] == [("second", {})]


@pytest.mark.parametrize("needed", [{"required": ["a", "n"]}, {"allOf": [{"required": ["a", "n"]}]}])
def test_what_is_missing_is_no_reason_against_json(qapp: QApplication, needed: Any) -> None:
    form = ArgumentForm()
    properties = {"a": {"type": "string"}, "n": {"type": "integer"}, "b": {"type": "string"}}
    form.show_tool("tool", {"type": "object", "properties": properties, **needed})
    form.rows["b"].set_presence(Presence.VALUE)
    form.rows["b"].editor.setPlainText("typed")  # type: ignore[attr-defined]
    assert form.set_json(True)
    assert json.loads(form.json.text()) == {"b": "typed"}
    assert form.set_json(False)
    form.rows["n"].editor.setPlainText("12x")  # type: ignore[attr-defined]
    assert not form.set_json(True)
    assert form.rows["n"].error.text() == "It must be a whole number."
