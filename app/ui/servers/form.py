"""The arguments of a tool, as a form or as one JSON text."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget

from app.core.mcp.forms.model import FormDraft, FormModel, Presence
from app.core.mcp.json_text import WHITE_SPACE, NotJson, parse_json
from app.ui.servers.field_editors import shown_name
from app.ui.servers.form_fields import FieldRow, row_of
from app.ui.servers.form_problems import ProblemCard
from app.ui.servers.map_editor import MapEditor
from app.ui.servers.nested_json import json_of, pairs_of
from app.ui.theme import theme, tokens
from app.ui.widgets.bounded_text import beginning
from app.ui.widgets.choices import Segmented
from app.ui.widgets.fields import JsonEdit
from app.ui.widgets.focus_chain import first_stop, holds_focus, order_after, reveal
from app.ui.widgets.guard import guarded
from app.ui.widgets.head_row import HeadRow
from app.ui.widgets.lazy_column import LazyColumn
from app.ui.widgets.text import Text
from app.ui.widgets.text_field import TextField

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from app.core.mcp.forms.model import FieldEntry
    from app.core.mcp.forms.validation import FieldProblem

JSON_LINES = 12
FORM, JSON = "form", "json"
# Device-independent pixels, and fields that are made together.
FIELD_HEIGHT, CHUNK = 84, 6
NOTE_LIMIT = 400

log = logging.getLogger(__name__)


class ArgumentForm(QWidget):
    """The form of one owner, such as the session of a tool; empty while `owner` is None.

    Emits `changed()` when the person changed something, and `ready_changed()` when `why_not_ready` changed.
    """

    changed = Signal()
    ready_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        current = theme()
        self.owner: object | None = None
        self.schema: Any = None
        self.model = FormModel({})
        self._draft = FormDraft()
        self._seed = FormDraft()
        self._json = False
        self._why = ""
        # While the form fills its own editor, `textChanged` is not the person's typing and must not count as a draft.
        self._filling = False
        self._problems: dict[str, list[FieldProblem]] = {}
        self._title = ""
        self._checked: set[str] = set()
        self._body: QWidget | None = None
        # The form of each argument's value, where the names of the arguments are free.
        self._values: FormModel | None = None
        self.rows: Mapping[str, FieldRow] = _Rows((), None)
        self.modes = Segmented(
            [(FORM, self.tr("Form"), "", "accent"), (JSON, "JSON", "", "accent")], self.tr("Edit arguments as")
        )
        self.modes.setToolTip("Ctrl+Shift+J")
        self.modes.chosen.connect(lambda mode: self.set_json(mode == JSON))
        self._heading = Text(self.tr("Arguments"), "section")
        self.card = ProblemCard()
        self.card.wanted.connect(self.show_field)
        self._note = Text("", tone="muted", wrap=True, selectable=True)
        self._left_to_server = Text("", "caption", "muted", wrap=True, selectable=True)
        self._room = QVBoxLayout()
        self.json = JsonEdit(self.tr("Arguments as JSON"), read=parse_json)
        self.json.edit.setMinimumHeight(self.json.edit.fontMetrics().lineSpacing() * JSON_LINES)
        self.json.edit.textChanged.connect(self._json_typed)
        self.json.checked.connect(lambda _ok: self._check_ready())
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(tokens.SPACE_3))
        box.addWidget(HeadRow([self._heading], self.modes))
        box.addWidget(self.card)
        box.addWidget(self._note)
        box.addWidget(self._left_to_server)
        box.addLayout(self._room)
        box.addWidget(self.json)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.connect(self._focus_moved)
        self.clear()

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

    def clear(self) -> None:
        """Show nothing, and belong to nobody."""
        self.owner = self.schema = None
        self._clear_problems()
        self._put_body(None)
        for part in (self.json, self.modes, self._note, self._heading):
            part.setVisible(False)

    def show_tool(self, owner: object, schema: Any, draft: FormDraft | None = None, text: str | None = None) -> None:
        """Show the arguments of `owner`, from `draft` or from JSON `text`. Never raises.

        A schema for which no form can be made is edited as JSON, with the reason.
        """
        edited = self._edited_field() if owner is self.owner else None
        self.clear()
        try:
            self._show(FormModel(schema), draft, text)
        except Exception:
            log.exception("No form could be made for a schema; its arguments are edited as JSON")
            self._show_without_form(draft, text)
        self.owner, self.schema = owner, schema
        if edited is not None:
            self._edit_again(*edited)

    def show_model(self, model: FormModel, draft: FormDraft | None = None, text: str | None = None) -> None:
        """Show other content for the same owner."""
        self._show(model, draft, text)

    def set_json(self, wanted: bool) -> bool:
        """Switch between form and JSON. Returns False and shows why when that would lose what was typed."""
        if wanted == self._json or (not self._has_form and not wanted):
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
        self._clear_problems()
        if self._json:
            try:
                draft = self.model.from_json(self._json_text())
            except NotJson as problem:
                self._why = problem.message
                self.ready_changed.emit()
                return None
        else:
            draft = self._draft
            wrong = self._body.find_problems() if isinstance(self._body, MapEditor) else 0
            if wrong:
                self.card.show_lines(self._count_words(wrong), [])
                self.focus_first()
                return None
        found = self.model.arguments(draft)
        if isinstance(found, dict):
            return found
        self.show_problems(found)
        return None

    def show_problems(self, problems: Sequence[FieldProblem], title: str = "") -> bool:
        """Show problems under their fields and all of them at the top. Returns whether there are any."""
        self._clear_problems()
        self._title = title
        for problem in problems:
            self._problems.setdefault(problem.argument, []).append(problem)
        self._checked = set(self._problems)
        self._say(self._problems)
        self._show_card()
        first = next((name for name in self.rows if name in self._problems), None)
        if first is not None and not self._json:
            self.show_field(first)
        return bool(problems)

    def show_unchecked(self, unchecked: Sequence[FieldProblem]) -> None:
        """Say what about the arguments was left to the server."""
        said = self._said()
        lines = [self._line(problem, said) for problem in unchecked]
        words = "\n".join(f"{label}: {words}" if label else words for _name, label, words in lines)
        self._left_to_server.setText(beginning(words, NOTE_LIMIT))
        self._left_to_server.setVisible(bool(words))

    def show_field(self, name: str) -> None:
        """Put the focus on a field and scroll it into view."""
        if self._json:
            self.json.edit.setFocus(Qt.FocusReason.OtherFocusReason)
        elif name in self.rows:
            row = self.rows[name]
            row.take_focus()
            reveal(row)

    def focus_first(self) -> bool:
        """Put the focus on the first editor, or on the first control where no argument is set. False without any."""
        if self._json:
            self.json.edit.setFocus(Qt.FocusReason.ShortcutFocusReason)
            return True
        if isinstance(self._body, MapEditor):
            self._body.take_focus()
            return True
        # Only fields that are made are looked at: the first ones always are.
        first = next((row.editor for row in self._made() if row.editor is not row), None)
        if first is None:
            first = next((stop for row in self._made() if (stop := first_stop(row)) is not None), None)
        if first is not None:
            first.setFocus(Qt.FocusReason.ShortcutFocusReason)
        return first is not None

    def _edited_field(self) -> tuple[str, int] | None:
        """The field that has the focus, and where the cursor is in its text."""
        row = next((row for row in self._made() if holds_focus(row)), None)
        if row is None:
            return None
        return row.field.name, row.editor.textCursor().position() if isinstance(row.editor, TextField) else 0

    def _edit_again(self, name: str, place: int) -> None:
        """Go on in a field of the same name. Nothing is selected: the next key must not replace what was typed."""
        if self._json or name not in self.rows:
            return
        row = self.rows[name]
        row.take_focus()
        if isinstance(row.editor, TextField):
            cursor = row.editor.textCursor()
            cursor.setPosition(min(place, row.editor.document().characterCount() - 1))
            row.editor.setTextCursor(cursor)

    def _show(self, model: FormModel, draft: FormDraft | None, text: str | None) -> None:
        """Build everything aside, then show it. Raises what the model or a field raises."""
        seed = model.seed()
        content = draft if draft is not None else seed
        values = model.all_values()
        as_json = text is not None or (model.whole_json and values is None)
        body = None if as_json else self._make_body(model, values, content, seed)
        as_json = as_json or body is None
        self._take(model, content, seed)
        self._values = values
        if as_json:
            self._fill_json(text if text is not None else content.whole)
        self._json = as_json
        self._put_body(body)
        self._show_mode()

    def _show_without_form(self, draft: FormDraft | None, text: str | None) -> None:
        """Edit as JSON what no form can be made for."""
        kept = draft or FormDraft()
        model = FormModel({})
        model.whole_json, model.fields = True, ()
        model.reason = self.tr("Burrow could not make a form for this tool.")
        shown = text if text is not None else kept.whole
        self._take(model, replace(kept, whole=shown), FormDraft())
        self._fill_json(shown)
        self._json = True
        self._put_body(None)
        self._show_mode()

    @property
    def _has_form(self) -> bool:
        return not self.model.whole_json or self._values is not None

    def _made(self) -> Iterator[FieldRow]:
        """The rows that are made."""
        made = self._body.made() if isinstance(self._body, LazyColumn) else ()
        return (row for row in made if isinstance(row, FieldRow))

    def _take(self, model: FormModel, draft: FormDraft, seed: FormDraft) -> None:
        self._clear_problems()
        self.model, self._draft, self._seed = model, draft, seed
        self._values = None

    def _fill_json(self, text: str) -> None:
        self._filling = True
        try:
            self.json.edit.set_text(text)
        finally:
            self._filling = False
        self.json.check()

    def _to_json(self) -> bool:
        text = self.model.as_json(self._draft)
        if not isinstance(text, str):
            # What is missing can be added in the JSON. What cannot be read has no JSON.
            unread = [problem for problem in text if self._draft.entry(problem.argument).presence is Presence.VALUE]
            if unread:
                self.show_problems(unread)
                return False
            text = json_of(self.model, self._draft)
        self._clear_problems()
        self._json = True
        self._fill_json(text)
        return True

    def _to_form(self) -> bool:
        # Arguments that no field can hold stay in the draft as `extra` and are sent too.
        try:
            draft = self.model.from_json(self._json_text())
            body = self._make_body(self.model, self._values, draft, self._seed)
        except NotJson as problem:
            self._refuse_form(f"{problem.message}.")
            return False
        except Exception:
            log.exception("No form could be made for arguments; they stay JSON")
            self._refuse_form(self.tr("Burrow could not make a form for it."))
            return False
        self._clear_problems()
        self._draft = draft
        self._json = False
        self._put_body(body)
        return True

    def _refuse_form(self, why: str) -> None:
        self.card.show_lines(self.tr("This text cannot be shown as a form"), [("", "", why)])

    def _json_text(self) -> str:
        text = self.json.text()
        return text if text.strip(WHITE_SPACE) else "{}"

    def _make_body(
        self, model: FormModel, values: FormModel | None, draft: FormDraft, seed: FormDraft
    ) -> QWidget | None:
        """The form, None where the arguments are JSON that it cannot show."""
        if values is None:
            return self._make_column(model, draft, seed)
        pairs = pairs_of(values, draft.whole)
        return None if pairs is None else MapEditor(values, pairs, self.tr("Arguments"), self._put_whole, row_of)

    def _put_whole(self, text: str) -> None:
        self._draft = replace(self._draft, whole=text)
        self._clear_problems()
        self.changed.emit()

    def _make_column(self, model: FormModel, draft: FormDraft, seed: FormDraft) -> LazyColumn:
        fields = model.fields

        def make(place: int) -> QWidget:
            field = fields[place]
            # What was typed since is in the draft of the form.
            entry = (self._draft if self._body is body and body is not None else draft).entry(field.name)
            try:
                row = row_of(model, place, entry, seed.entry(field.name).text)
            except Exception:
                if body is None:
                    raise
                log.exception("A field of a form could not be made; the arguments are edited as JSON")
                QTimer.singleShot(0, self, self._leave_form)
                return QWidget()
            row.changed.connect(lambda entry, name=field.name: self._typed(name, entry))
            self._say_at(row)
            return row

        body: LazyColumn | None = None
        body = LazyColumn(len(fields), make, self._chunk_words, size=CHUNK, estimate=FIELD_HEIGHT)
        return body

    def _leave_form(self) -> None:
        """A field that came into view could not be made: go on in JSON, with what was typed."""
        if self.owner is None or self._json:
            return
        try:
            text = json_of(self.model, self._draft)
        except Exception:
            log.exception("The arguments could not be written as JSON")
            text = "{}"
        self._show_without_form(self._draft, text)

    def _put_body(self, body: QWidget | None) -> None:
        former, self._body = self._body, body
        column = body if isinstance(body, LazyColumn) else None
        self.rows = _Rows(tuple(field.name for field in self.model.fields), column)
        if body is not None:
            self._room.addWidget(body)
            order_after(self.modes.findChildren(QWidget)[-1], [body])
        if former is not None:
            former.hide()
            former.deleteLater()

    def _chunk_words(self, first: int, last: int) -> str:
        return self.tr("Arguments {0} to {1}").format(first, last)

    def _typed(self, name: str, entry: FieldEntry) -> None:
        self._draft = replace(self._draft, entries={**self._draft.entries, name: entry})
        # What is being typed is not judged before the field is left.
        if self._problems.pop(name, None) is not None:
            self._show_card()
        self.changed.emit()

    def _json_typed(self) -> None:
        if self._filling:
            return
        if self.model.whole_json:
            self._draft = replace(self._draft, whole=self.json.text())
        self._clear_problems()
        self.changed.emit()

    @guarded()
    def _focus_moved(self, old: QWidget | None, new: QWidget | None) -> None:
        """Check a field again that was found wrong, when the person leaves it."""
        if not self._checked or self._json or old is None:
            return
        row: QWidget | None = old
        while row is not None and not isinstance(row, FieldRow):
            row = row.parentWidget()
        if row is None or not self.isAncestorOf(row) or holds_focus(row) or row.field.name not in self._checked:
            return
        name = row.field.name
        found = self.model.arguments(self._draft)
        problems = [p for p in found if p.argument == name] if not isinstance(found, dict) else []
        if problems and name not in self._problems:
            self._problems[name] = problems
            self._say((name,))
            self._show_card()

    def _clear_problems(self) -> None:
        former, self._problems, self._title = self._problems, {}, ""
        self._checked = set()
        self._say(former)
        self.card.clear()
        self.show_unchecked(())

    def _say(self, names: Collection[str]) -> None:
        """Show what is wrong with fields at those of them that are made."""
        if not names:
            return
        for row in self._made():
            if row.field.name in names:
                self._say_at(row)

    def _say_at(self, row: FieldRow) -> None:
        row.say(" ".join(problem.message for problem in self._problems.get(row.field.name, ())))

    def _show_card(self) -> None:
        problems = [problem for found in self._problems.values() for problem in found]
        if not problems:
            self.card.clear()
            return
        words = self._count_words(len(self._problems))
        order = {name: place for place, name in enumerate(self.rows)}
        problems.sort(key=lambda problem: order.get(problem.argument, -1))
        said = self._said()
        self.card.show_lines(self._title or words, [self._line(problem, said) for problem in problems])

    def _count_words(self, count: int) -> str:
        return self.tr("1 argument to fix") if count == 1 else self.tr("%n arguments to fix", "", count)

    def _line(self, problem: FieldProblem, said: Mapping[str, str]) -> tuple[str, str, str]:
        name = problem.argument
        label = f"{self._label(name)} {problem.path[len(name) + 1 :]}".strip()
        return name if name in self.rows and not self._json else "", label, said.get(name) or problem.message

    def _said(self) -> dict[str, str]:
        """What the fields of several values that are made say of themselves, by name."""
        rows = self._made() if not self._json else ()
        return {row.field.name: row.error.text() for row in rows if row.is_nested}

    def _label(self, name: str) -> str:
        try:
            return shown_name(self.model[name].label)
        except KeyError:
            return shown_name(name)

    def _show_mode(self) -> None:
        self._heading.setVisible(True)
        # Where no argument is declared but any is accepted, JSON is the way to send one.
        either = bool(self.model.fields or self._draft.extra or self._json or self.model.open)
        self.modes.setVisible(self._values is not None or (not self.model.whole_json and either))
        self.modes.set_value(JSON if self._json else FORM)
        self.json.setVisible(self._json)
        if self._body is not None:
            self._body.setVisible(not self._json)
        self._note.setText(self._note_words())
        self._note.setVisible(bool(self._note.text()))
        self._check_ready()

    def _note_words(self) -> str:
        if self.model.whole_json:
            return self.tr("Edited as JSON: {0}").format(self.model.reason) if self._json else self.model.reason
        if not self._json and not self.model.fields and not self._draft.extra:
            return self.tr("This tool takes no arguments.")
        if not self._json and self._draft.extra:
            names = beginning(", ".join(map(shown_name, self._draft.extra)), NOTE_LIMIT)
            return self.tr("Also sent, although the tool does not declare it: {0}").format(names)
        return ""

    def _check_ready(self) -> None:
        why = ""
        if self._json:
            try:
                self.model.from_json(self._json_text())
            except NotJson as problem:
                # JSON that is no object has no place where it is wrong.
                words = self.tr("The arguments are not JSON: {0}.") if problem.line else "{0}."
                why = words.format(problem.message)
        if why != self._why:
            self._why = why
            self.ready_changed.emit()


class _Rows(Mapping[str, FieldRow]):
    """The rows of a form by the names of their fields. A row is made when it is asked for."""

    def __init__(self, names: Sequence[str], body: LazyColumn | None) -> None:
        self._body = body
        self._places = {name: place for place, name in enumerate(names)} if body is not None else {}

    def __getitem__(self, name: str) -> FieldRow:
        place = self._places[name]
        assert self._body is not None
        row = self._body.part(place)
        assert isinstance(row, FieldRow)
        return row

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places
