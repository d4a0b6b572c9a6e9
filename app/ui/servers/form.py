"""The arguments of a tool, as a form or as one JSON text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.core.mcp.forms.model import FormDraft, FormModel
from app.core.mcp.json_text import NotJson
from app.ui.servers.form_fields import FieldRow
from app.ui.theme import theme, tokens
from app.ui.widgets.choices import Segmented
from app.ui.widgets.feedback import InlineCard, clear_layout
from app.ui.widgets.fields import JsonEdit
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.mcp.forms.model import FieldEntry
    from app.core.mcp.forms.validation import FieldProblem

JSON_LINES = 12
FORM, JSON = "form", "json"


class ArgumentForm(QWidget):
    """Emits `changed()` when the person changed something, and `ready_changed()` when `why_not_ready` changed."""

    changed = Signal()
    ready_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        current = theme()
        self.model = FormModel({})
        self._draft = FormDraft()
        self._json = False
        self._why = ""
        # While the form fills its own editor, `textChanged` is not the person's typing and must not count as a draft.
        self._filling = False
        self.rows: dict[str, FieldRow] = {}
        self.modes = Segmented(
            [(FORM, self.tr("Form"), "", "accent"), (JSON, "JSON", "", "accent")], self.tr("Edit arguments as")
        )
        self.modes.setToolTip("Ctrl+Shift+J")
        self.modes.chosen.connect(lambda mode: self.set_json(mode == JSON))
        self._heading = Text(self.tr("Arguments"), "section")
        head = QHBoxLayout()
        head.addWidget(self._heading, 1)
        head.addWidget(self.modes)
        self.card = InlineCard()
        self._note = Text("", tone="muted", wrap=True)
        self._fields = QVBoxLayout()
        self._fields.setSpacing(current.px(tokens.SPACE_4))
        self.json = JsonEdit(self.tr("Arguments as JSON"))
        self.json.edit.setMinimumHeight(self.json.edit.fontMetrics().lineSpacing() * JSON_LINES)
        self.json.edit.textChanged.connect(self._json_typed)
        self.json.checked.connect(lambda _ok: self._check_ready())
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(tokens.SPACE_3))
        box.addLayout(head)
        box.addWidget(self.card)
        box.addWidget(self._note)
        box.addLayout(self._fields)
        box.addWidget(self.json)

    @property
    def draft(self) -> FormDraft:
        """The content of the form; in JSON mode that of when the form was left."""
        return self._draft

    @property
    def in_json(self) -> bool:
        """Whether the arguments are edited as JSON."""
        return self._json

    @property
    def why_not_ready(self) -> str:
        """Why the arguments cannot be sent; empty when they can."""
        return self._why

    def show_model(self, model: FormModel, draft: FormDraft | None = None, text: str | None = None) -> None:
        """Show the arguments of a tool, from `draft` or from JSON `text`."""
        self.model, self._draft = model, draft if draft is not None else model.seed()
        self._json = model.whole_json or text is not None
        self.card.clear()
        self.modes.setVisible(not model.whole_json and bool(model.fields or self._draft.extra or text))
        self._filling = True
        try:
            if self._json:
                self.json.edit.setPlainText(text if text is not None else self._draft.whole)
                self.json.check()
            self._build_rows()
        finally:
            self._filling = False
        self._show_mode()

    def set_json(self, wanted: bool) -> bool:
        """Switch between form and JSON. Returns False and shows why when that would lose what was typed."""
        if wanted == self._json or (self.model.whole_json and not wanted):
            self._show_mode()
            return wanted == self._json
        moved = self._to_json() if wanted else self._to_form()
        self._show_mode()
        if moved:
            self.changed.emit()
        return moved

    def toggle_json(self) -> None:
        """Switch between form and JSON."""
        self.set_json(not self._json)

    def text(self) -> str | None:
        """The text of the JSON editor, None while the form is shown."""
        return self.json.text() if self._json else None

    def arguments(self) -> dict[str, Any] | None:
        """The arguments to send; None when they are not valid, which is then shown at the fields."""
        self.card.clear()
        if self._json:
            try:
                draft = self.model.from_json(self.json.text().strip() or "{}")
                found = self.model.arguments(draft)
            except NotJson as problem:
                self._why = problem.message
                self.ready_changed.emit()
                return None
            if isinstance(found, dict):
                return found
            return None if self.show_problems(found) else {}
        found = self.model.arguments(self._draft)
        if isinstance(found, dict):
            self.show_problems(())
            return found
        self.show_problems(found)
        return None

    def show_problems(self, problems: Sequence[FieldProblem], title: str = "") -> bool:
        """Show problems under their fields and all of them at the top. Returns whether there are any."""
        by_name: dict[str, list[str]] = {}
        for problem in problems:
            by_name.setdefault(problem.path.partition("/")[0], []).append(problem.message)
        for name, row in self.rows.items():
            row.say(" ".join(by_name.get(name, ())))
        if not problems:
            return False
        lines = [
            f"{self._label(problem.path)}: {problem.message}" if problem.path else problem.message
            for problem in problems
        ]
        count = len(problems)
        words = title or (
            self.tr("One argument is not valid") if count == 1 else self.tr("{0} arguments are not valid").format(count)
        )
        self.card.show_note(words, "\n".join(lines[:8]), tone="attention")
        first = next((row for name, row in self.rows.items() if name in by_name), None)
        if first is not None and not self._json:
            first.editor.setFocus(Qt.FocusReason.OtherFocusReason)
        return True

    def focus_first(self) -> None:
        """Put the focus on the first editor."""
        if self._json:
            self.json.edit.setFocus(Qt.FocusReason.ShortcutFocusReason)
            return
        first = next((row.editor for row in self.rows.values() if row.editor is not row), None)
        if first is not None:
            first.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _label(self, path: str) -> str:
        name, _, rest = path.partition("/")
        row = self.rows.get(name)
        label = row.field.label if row is not None else name
        return f"{label} {rest}".strip()

    def _to_json(self) -> bool:
        text = self.model.as_json(self._draft)
        if not isinstance(text, str):
            # What is missing can be added in the JSON. What cannot be read has no JSON and would be lost.
            text = FormModel({**self.model.schema, "required": []}).as_json(self._draft)
        if not isinstance(text, str):
            self.show_problems(text)
            return False
        self.card.clear()
        self._json, self._filling = True, True
        self.json.edit.setPlainText(text)
        self._filling = False
        self.json.check()
        return True

    def _to_form(self) -> bool:
        # Arguments that no field can hold stay in the draft as `extra` and are sent too.
        try:
            self._draft = self.model.from_json(self.json.text().strip() or "{}")
        except NotJson as problem:
            self.card.show_note(self.tr("This text cannot be shown as a form"), f"{problem.message}.")
            return False
        self.card.clear()
        self._json = False
        self._build_rows()
        return True

    def _build_rows(self) -> None:
        clear_layout(self._fields)
        self.rows = {}
        for field in self.model.fields:
            row = FieldRow(field, self._draft.entry(field.name))
            row.changed.connect(lambda entry, name=field.name: self._typed(name, entry))
            self.rows[field.name] = row
            self._fields.addWidget(row)

    def _typed(self, name: str, entry: FieldEntry) -> None:
        self._draft = FormDraft({**self._draft.entries, name: entry}, self._draft.extra, self._draft.whole)
        self.changed.emit()

    def _json_typed(self) -> None:
        if self._filling:
            return
        if self.model.whole_json:
            self._draft = FormDraft(whole=self.json.text())
        self.changed.emit()

    def _show_mode(self) -> None:
        self.modes.set_value(JSON if self._json else FORM)
        self.json.setVisible(self._json)
        for row in self.rows.values():
            row.setVisible(not self._json)
        self._note.setText(self._note_words())
        self._note.setVisible(bool(self._note.text()))
        self._check_ready()

    def _note_words(self) -> str:
        if self.model.whole_json:
            return self.tr("Edited as JSON: {0}").format(self.model.reason)
        if not self._json and not self.model.fields and not self._draft.extra:
            return self.tr("This tool takes no arguments.")
        if not self._json and self._draft.extra:
            names = ", ".join(self._draft.extra)
            return self.tr("Also sent, although the tool does not declare it: {0}").format(names)
        return ""

    def _check_ready(self) -> None:
        why = ""
        if self._json:
            try:
                self.model.from_json(self.json.text().strip() or "{}")
            except NotJson as problem:
                why = self.tr("The arguments are not JSON: {0}.").format(problem.message)
        if why != self._why:
            self._why = why
            self.ready_changed.emit()
