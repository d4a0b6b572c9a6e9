"""A field of the form: label, editor, and whether the argument is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.core.mcp.forms.fields import FieldKind
from app.core.mcp.forms.model import FieldEntry, Presence
from app.core.mcp.forms.reasons import Reason
from app.marks import revealed
from app.ui.servers.field_editors import json_editor, scalar_editor, shown_name
from app.ui.servers.list_editor import ListEditor
from app.ui.servers.map_editor import MapEditor
from app.ui.servers.nested_json import draft_of, drafts_of, json_of, pairs_of
from app.ui.servers.object_editor import MemberRow, ObjectEditor, RecordsEditor
from app.ui.theme import theme, tokens
from app.ui.widgets.bounded_text import BoundedText
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.feedback import clear_layout
from app.ui.widgets.fields import FieldError
from app.ui.widgets.focus_chain import anchor_of, first_stop, holds_focus, order_after, show_now
from app.ui.widgets.head_row import HeadRow
from app.ui.widgets.text import Text
from app.ui.widgets.text_field import TextField

if TYPE_CHECKING:
    from app.core.mcp.forms.fields import Field
    from app.core.mcp.forms.model import FormDraft, FormModel

NESTED = (ObjectEditor, RecordsEditor, MapEditor)
# Objects inside each other that are edited as forms.
DEEPEST = 3


def row_of(model: FormModel, place: int, entry: FieldEntry, default: str, depth: int = 0) -> FieldRow:
    """The row for the field at a place of a model. `depth` counts the objects around it."""
    field = model.fields[place]
    # A schema may have itself as a member.
    if field.kind is not FieldKind.JSON or depth >= DEEPEST:
        return FieldRow(field, entry, default)
    return FieldRow(field, entry, default, model.nested(field.name), model.values_of(field.name), depth)


class FieldRow(MemberRow):
    """A field of the form. `changed(FieldEntry)` carries its new content.

    `default` is the text that the tool proposes. It is selected when the field gets the focus, until it was changed.
    `nested` is the form for an object, or for the items of a list of objects; `values` that for each value of an object
    whose names are free.
    """

    def __init__(
        self,
        field: Field,
        entry: FieldEntry,
        default: str = "",
        nested: FormModel | None = None,
        values: FormModel | None = None,
        depth: int = 0,
    ) -> None:
        super().__init__()
        self.field = field
        self._entry, self._default = entry, default
        self._nested, self._values, self._depth = nested, values, depth
        self._as_text = False
        current = theme()
        self.label = shown_name(field.label)
        self._name = f"{self.label}, {self._kind()}" + (self.tr(", required") if field.required else "")
        label = Text(self.label, "strong", wrap=True, selectable=True)
        kind = Text(self._kind_words(), "caption", "muted", wrap=True, selectable=True)
        # The editor comes before the buttons in the order of Tab and for assistive technology, so it is made first.
        self._room = QWidget(self)
        self._editor_room = QVBoxLayout(self._room)
        self._editor_room.setContentsMargins(0, 0, 0, 0)
        self._buttons = QWidget(self)
        self._buttons.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._actions = QHBoxLayout(self._buttons)
        self._actions.setContentsMargins(0, 0, 0, 0)
        self._actions.setSpacing(current.px(tokens.SPACE_1))
        # The row itself while the argument has no editor, because it is left out or null.
        self.editor: QWidget = self
        self.error = FieldError(self)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(tokens.SPACE_1))
        box.addWidget(HeadRow([label, kind], self._buttons))
        if field.description:
            box.addWidget(BoundedText(revealed(field.description), "caption", "muted", name=self._name))
        box.addWidget(self._room)
        hints = "  ·  ".join(shown_name(hint) for hint in field.hints)
        if hints:
            box.addWidget(Text(hints, "caption", "muted", wrap=True, selectable=True))
        self._why = Text("", "caption", "muted", wrap=True)
        box.addWidget(self._why)
        self._box = box
        box.addWidget(self.error)
        self._build()

    @property
    def entry(self) -> FieldEntry:
        """The content of the field."""
        return self._entry

    @property
    def is_nested(self) -> bool:
        """Whether the field is shown as a form of its own."""
        return isinstance(self.editor, NESTED)

    def set_presence(self, presence: Presence) -> None:
        """Send the value, send null, or leave the argument out. The typed text is kept."""
        focused = holds_focus(self)
        text = self._entry.text
        if presence is Presence.VALUE and self._has_form and not text.strip():
            text = self._empty_text()
        self._change_entry(presence=presence, text=text)
        self._rebuild(focus=focused or presence is Presence.VALUE)

    def _rebuild(self, *, focus: bool) -> None:
        before = anchor_of(self)
        if holds_focus(self):
            # Qt would move the focus out of the button that goes, to anywhere.
            self.setFocus(Qt.FocusReason.OtherFocusReason)
        self._build()
        if before is not None:
            order_after(before, [self])
        # The pressed button has gone, so the focus goes to what took its place.
        if focus:
            self.take_focus()

    def take_focus(self) -> None:
        """Put the focus on the editor, or on the button that brings one."""
        if isinstance(self.editor, NESTED):
            self.editor.take_focus()
            return
        target = self.editor if self.editor is not self else first_stop(self)
        if target is not None:
            target.setFocus(Qt.FocusReason.OtherFocusReason)

    def say(self, problem: str) -> None:
        wrong = self.editor.find_problems() if problem and isinstance(self.editor, NESTED) else 0
        if wrong:
            problem = self.tr("1 value to fix") if wrong == 1 else self.tr("%n values to fix", "", wrong)
        self.error.say(problem)

    @property
    def _has_form(self) -> bool:
        """Whether there is a form for the JSON of this field."""
        return self._nested is not None or self._values is not None

    def _kind(self) -> str:
        if not self._has_form:
            return self.field.summary
        words = self.tr("list of objects") if self._is_list else self.tr("object")
        return self.tr("{0} or null").format(words) if self.field.nullable else words

    def _kind_words(self) -> str:
        field = self.field
        name = shown_name(field.name) if field.title and field.title != field.name else ""
        parts = (name, self._kind(), self.tr("required") if field.required else "")
        return "  ·  ".join(part for part in parts if part)

    def _change_entry(self, **changes: Any) -> None:
        # Whoever types a value wants it to be sent.
        self._entry = replace(self._entry, **{"presence": Presence.VALUE, **changes})
        self.error.say("")
        self.changed.emit(self._entry)

    def _build(self) -> None:
        clear_layout(self._editor_room)
        clear_layout(self._actions)
        field, presence = self.field, self._entry.presence
        # A required argument always has its editor: it starts absent, but cannot be left out.
        left_out = presence is Presence.ABSENT and not field.required
        if self._is_nothing(left_out):
            words = self.tr("— not sent —") if left_out else self.tr("null")
            self._editor_room.addWidget(Text(words, tone="muted"))
            self.editor = self
        else:
            self.editor = self._make_editor()
            if isinstance(self.editor, TextField) and self._default:
                self.editor.propose(self._default)
            self._editor_room.addWidget(self.editor)
            show_now(self.editor)
        why = self._why_json() if self.editor is not self else ""
        self._why.setText(why)
        self._why.setVisible(bool(why))
        self._add_buttons(left_out, presence)
        self._replace_error()

    def _why_json(self) -> str:
        """Why the argument is edited as JSON."""
        if self.is_nested:
            return ""
        if self.field.kind is FieldKind.JSON:
            return self.tr("Edited as JSON. {0}").format(self.field.why) if self.field.why else ""
        return self.tr("Edited as JSON. The value does not fit the tool's schema.") if self._entry.as_json else ""

    def _is_nothing(self, left_out: bool) -> bool:
        """Whether nothing is edited. A required argument that may not be null has its editor, to be filled in."""
        null = self._entry.presence is Presence.NULL and (self.field.nullable or not self.field.required)
        return left_out or null

    def _add_buttons(self, left_out: bool, presence: Presence) -> None:
        if self._is_nothing(left_out):
            self._button(self.tr("Set"), self.tr("Set {0}").format(self.label), Presence.VALUE)
        if self._has_form and self.editor is not self:
            self._add_mode_button()
        if self.field.nullable and presence is not Presence.NULL:
            self._button(self.tr("null"), self.tr("Send null for {0}").format(self.label), Presence.NULL)
        if not self.field.required and not left_out:
            self._button(self.tr("Leave out"), self.tr("Leave out {0}").format(self.label), Presence.ABSENT)

    def _add_mode_button(self) -> None:
        words, name = (
            (self.tr("Form"), self.tr("Form: edit {0} as a form"))
            if self._as_text or not isinstance(self.editor, NESTED)
            else ("JSON", self.tr("JSON: edit {0} as JSON"))
        )
        button = QuietButton(words, kind="flat", clicked=self._toggle_text)
        button.setAccessibleName(name.format(self.label))
        self._actions.addWidget(button)
        show_now(button)

    def _toggle_text(self) -> None:
        """Edit as JSON what is edited as a form, or the other way round."""
        as_form = not isinstance(self.editor, NESTED)
        if as_form and self._make_nested() is None:
            self.error.say(self.tr("This JSON cannot be shown as a form."))
            return
        self._as_text = not as_form
        self._rebuild(focus=True)

    def _button(self, text: str, name: str, presence: Presence) -> None:
        button = QuietButton(text, kind="flat", clicked=lambda: self.set_presence(presence))
        button.setAccessibleName(name)
        self._actions.addWidget(button)
        show_now(button)

    def _replace_error(self) -> None:
        """Tie the error to the new editor: assistive technology reads it as that editor's description."""
        said = self.error.text()
        self._box.removeWidget(self.error)
        self.error.hide()
        self.error.deleteLater()
        self.error = FieldError(self.editor)
        self._box.addWidget(self.error)
        if said:
            self.error.say(said)

    def _make_editor(self) -> QWidget:
        field, entry = self.field, self._entry
        nested = None if self._as_text else self._make_nested()
        if nested is not None:
            return nested
        if entry.as_json or field.kind is FieldKind.JSON:
            return json_editor(entry.text, self._name, self._put_text)
        if field.kind is FieldKind.LIST:
            return ListEditor(field, entry.items, lambda items: self._change_entry(items=items), self._name)
        return scalar_editor(field.kind, field.choices, entry.text, self._name, self._put_text, tall=field.multiline)

    def _make_nested(self) -> QWidget | None:
        """The editor of an object or of a list of objects; None where the text is neither."""
        text = self._entry.text if self._entry.text.strip() else self._empty_text()
        if self._values is not None:
            pairs = pairs_of(self._values, text)
            if pairs is None:
                return None
            return MapEditor(self._values, pairs, self.label, self._put_text, self._member)
        model = self._nested
        if model is None:
            return None
        if self._is_list:
            drafts = drafts_of(model, text)
            return None if drafts is None else RecordsEditor(model, drafts, self.label, self._put_text, self._member)
        draft = draft_of(model, text)
        if draft is None:
            return None

        def put(new: FormDraft) -> None:
            self._put_text(json_of(model, new))

        # A form may have many objects, and most of them out of view.
        return ObjectEditor(model, draft, self.label, put, self._member, later=True)

    @property
    def _is_list(self) -> bool:
        return self.field.reason is Reason.ITEMS_NOT_PLAIN

    def _empty_text(self) -> str:
        if self._is_list:
            return "[]"
        return "{}" if self._nested is None else json_of(self._nested, self._nested.seed())

    def _member(self, model: FormModel, place: int, entry: FieldEntry, default: str) -> MemberRow:
        return row_of(model, place, entry, default, self._depth + 1)

    def _put_text(self, text: str) -> None:
        self._change_entry(text=text)
