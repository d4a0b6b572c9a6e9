"""What a form costs grows with what is in view, whatever its schema holds."""

from __future__ import annotations

from collections.abc import Iterator
from time import process_time
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication

from app.core.mcp.forms import choices
from app.core.mcp.forms.model import FormModel
from app.ui.servers.form_fields import FieldRow
from app.ui.widgets.search_select import SearchSelect
from tests.ui.test_form_size import Page

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)


def required(schemas: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": schemas, "required": list(schemas)}


@pytest.fixture
def page(qapp: QApplication) -> Iterator[Page]:
    made = Page()
    yield made
    made.root.close()


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many labels were made for choices, one number each time."""
    made: list[int] = []
    real = choices._labels

    def count(shown: dict[str, str]) -> dict[str, str]:
        made.append(len(shown))
        return real(shown)

    monkeypatch.setattr(choices, "_labels", count)
    return made


def test_choices_are_made_when_one_is_looked_at(page: Page, labelled: list[int]) -> None:
    schema = required({f"e{n}": {"enum": [f"value {n} {k}" for k in range(4_999)]} for n in range(30)})
    page.show(schema)
    select = page.form.rows["e3"].editor
    assert isinstance(select, SearchSelect)
    assert select.count() == 4_999
    assert labelled == []
    select.setCurrentIndex(4_321)
    assert labelled == [4_999]
    assert page.form.draft.entry("e3").text == '"value 3 4321"'


def test_a_choice_that_is_set_is_shown(page: Page, labelled: list[int]) -> None:
    values: list[Any] = [*range(20), "7", 7.0, True]
    page.show(required({"x": {"enum": values}}), {"x": "7"})
    select = page.form.rows["x"].editor
    assert isinstance(select, SearchSelect)
    assert select.currentText() == '"7"'
    assert page.form.arguments() == {"x": "7"}


def test_values_that_are_listed_twice_are_one_choice() -> None:
    field = FormModel(required({"x": {"enum": ["a", "b", "a", "c", "b"]}}))["x"]
    assert len(field.choices) == 3
    assert [choice.value for choice in field.choices] == ["a", "b", "c"]


def test_an_object_out_of_view_has_no_members_yet(page: Page) -> None:
    member = required({f"m{n}": {"type": "string"} for n in range(4)})
    page.show(required({f"o{n}": member for n in range(400)}))
    rows = page.form.findChildren(FieldRow)
    assert len(rows) < 60
    assert page.form.rows["o0"].findChildren(FieldRow)
    assert not page.form.rows["o300"].findChildren(FieldRow)
    page.form.show_field("o300")
    assert page.focused_field() == "m0"


def test_titles_of_a_megabyte_are_told_apart_by_their_values() -> None:
    long = "word " * 200_000
    field = FormModel(required({"x": {"oneOf": [{"const": n, "title": long} for n in range(9)]}}))["x"]
    labels = [choice.label for choice in field.choices]
    assert all(label.endswith(f" ({n})") and len(label) < 300 for n, label in enumerate(labels))


def test_what_is_wrong_with_ten_thousand_arguments_is_said_at_once(page: Page) -> None:
    def cost(count: int) -> float:
        page.show(required({f"f{n}": {"type": "string"} for n in range(count)}))
        started = process_time()
        assert page.form.arguments() is None
        return process_time() - started

    cost(100)
    small = cost(500)
    # Linear would be 20, quadratic 400.
    assert cost(10_000) < 60 * small + 0.05
    assert page.form.card.text().replace(",", "").startswith("10000 arguments to fix")
