"""The composer of a new task: its fields, a draft that is saved while typing, errors at their field."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.core.errors import Rejected
from app.core.posthog.task_fields import TASK_FIELDS, TaskFieldKind, one_line, texts_of
from app.core.posthog.types import new_task
from app.ui.bridge import Generation
from app.ui.tasks.field_inputs import CONTEXT, INPUTS, FieldInput, LineInput, SuggestedInput, TextInput, is_send_key
from app.ui.theme import theme, tokens
from app.ui.translation import translate
from app.ui.widgets.buttons import PrimaryButton, QuietButton, with_keys
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.feedback import InlineCard
from app.ui.widgets.fields import FieldError
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QHideEvent, QKeyEvent

    from app.core.errors import BurrowError
    from app.core.posthog.types import NewTask
    from app.core.services import Services
    from app.core.storage import Scope
    from app.ui.bridge import Bridge, Job
    from app.ui.widgets.feedback import Action

KIND = "task"
DRAFT = "new"
SAVE_WITHIN_MS = 500


class Composer(QWidget):
    """Emits `submitted(NewTask)` when the user sends, and `left` when they close it."""

    submitted = Signal(object)
    left = Signal()

    def __init__(self, services: Services, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._bridge = bridge
        self._scope: Scope | None = None
        self._generation = Generation(bridge, self)
        self._dirty = False
        self.inputs: dict[str, FieldInput] = {each.name: INPUTS[each.kind](each) for each in TASK_FIELDS}
        self._errors: dict[str, FieldError] = {}
        self._save_soon = QTimer(self, singleShot=True, interval=SAVE_WITHIN_MS)
        self._save_soon.timeout.connect(self.save_now)
        self._build()

    @property
    def empty(self) -> bool:
        """Whether nothing is typed."""
        return not any(self.fields().values())

    @property
    def title(self) -> LineInput:
        return cast(LineInput, self.inputs["title"])

    @property
    def description(self) -> TextInput:
        return cast(TextInput, self.inputs["description"])

    @property
    def repository(self) -> SuggestedInput:
        return cast(SuggestedInput, self.inputs["repository"])

    def fields(self) -> dict[str, str]:
        """What is typed, as it is saved in the draft."""
        return {name: each.text() for name, each in self.inputs.items()}

    def start(self, scope: Scope | None) -> None:
        """Save what is typed for the former account, empty the fields, and load the draft of this account."""
        if scope == self._scope:
            return
        # While the scope is still that of the former account, whose text this is.
        self.save_now()
        self._generation.renew()
        self._scope = scope
        self._put({})
        self.set_repositories(())
        self._say("")
        if scope is not None:
            load = self._services.storage.drafts.load(scope, KIND, DRAFT)
            self._generation.spawn(load, done=self._loaded, failed=self._not_saved)

    def set_repositories(self, names: Sequence[str]) -> None:
        """Offer these repositories. What is typed stays."""
        self.repository.suggest(names)

    def restore(self, new: NewTask) -> None:
        """Fill the fields with a task's text, as after a send that was refused."""
        self._put(texts_of(new))
        self._dirty = True
        self.save_now()

    def clear(self) -> None:
        """Empty the fields and forget the draft."""
        self._put({})
        self._dirty = False
        self._save_soon.stop()
        self._say("")
        if self._scope is not None:
            discard = self._services.storage.drafts.discard(self._scope, KIND, DRAFT)
            self._bridge.spawn(self, discard, failed=self._not_saved, key="draft")

    def show_error(self, error: BurrowError, actions: Sequence[Action] = ()) -> None:
        """Show why sending failed: at the field that the error names, else as a card above the buttons."""
        attr = error.facts.attr if isinstance(error, Rejected) else None
        if attr in self._errors:
            self._errors[attr].say(error.cause)
            self.card.clear()
            return
        self.card.show_error(error, actions)

    def show_note(self, title: str, cause: str = "", actions: Sequence[Action] = ()) -> None:
        self.card.show_note(title, cause, actions=actions)

    def submit(self) -> None:
        """Check the fields, then emit `submitted`."""
        self._clear_errors()
        self.card.clear()
        typed = self.fields()
        lines = {each.name: one_line(typed[each.name]) for each in TASK_FIELDS if each.kind is TaskFieldKind.LINE}
        new = new_task(typed | lines)
        wrong = self._first_mistake(new)
        if wrong is not None:
            name, words = wrong
            self._errors[name].say(words)
            self.inputs[name].setFocus(Qt.FocusReason.OtherFocusReason)
            return
        self.submitted.emit(new)

    @property
    def unsaved(self) -> bool:
        """Whether the draft changed since it was last saved."""
        return self._dirty and self._scope is not None

    def save_now(self) -> Job | None:
        """Save the draft now, if it changed since it was last saved."""
        self._save_soon.stop()
        if not self._dirty or self._scope is None:
            return None
        self._dirty = False
        drafts, fields = self._services.storage.drafts, self.fields()
        if any(fields.values()):
            job = drafts.save(self._scope, KIND, DRAFT, fields)
        else:
            job = drafts.discard(self._scope, KIND, DRAFT)
        # Not in the generation: a draft that is saved while the account changes must still be written.
        return self._bridge.spawn(self, job, done=self._saved, failed=self._not_saved)

    def focus_first(self) -> None:
        """Focus the title, or the description if there is a title."""
        target = self.description if self.title.text() else self.title
        target.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _build(self) -> None:
        current = theme()
        self.card = InlineCard()
        self._state = Text(role="caption", tone="muted")
        self._state.setMinimumHeight(current.px(tokens.CONTROL))
        self.send = PrimaryButton(self.tr("Create task"), keys="Ctrl+Return", clicked=self.submit)
        self.discard = QuietButton(self.tr("Discard draft"), kind="flat", clicked=self._discard)
        self.back = QuietButton(self.tr("Close"), kind="flat", clicked=self._leave)
        self.back.setToolTip(with_keys(self.tr("Close; the draft is kept"), "Esc"))

        self.setWindowTitle(self.tr("New task"))
        area = ScrollColumn(self.tr("New task"))
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        box = area.box
        box.setSpacing(current.px(tokens.SPACE_1))
        box.addWidget(Text(self.tr("New task"), "title"))
        box.addSpacing(current.px(tokens.SPACE_2))
        for field in TASK_FIELDS:
            name, widget = field.name, self.inputs[field.name]
            text = field.kind is TaskFieldKind.TEXT
            box.addLayout(self._label(translate(CONTEXT, field.label), widget, optional=not text))
            box.addWidget(widget, 1 if text else 0)
            self._errors[name] = FieldError(widget)
            box.addWidget(self._errors[name])
            box.addSpacing(current.px(tokens.SPACE_2))
        box.addWidget(self.card)
        buttons = FlowLayout()
        for button in (self.send, self.back, self.discard, self._state):
            buttons.addWidget(button)
        box.addSpacing(current.px(tokens.SPACE_1))
        box.addLayout(buttons)

        outer = QHBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)

        for name, widget in self.inputs.items():
            widget.typed.connect(partial(self._typed, name))
            widget.installEventFilter(self)
        self._show_discard()

    def _label(self, words: str, buddy: QWidget, *, optional: bool) -> QHBoxLayout:
        label = Text(words)
        label.setBuddy(buddy)
        plain = words.replace("&", "")
        buddy.setAccessibleName(plain)
        row = QHBoxLayout()
        row.setSpacing(theme().px(tokens.SPACE_2))
        row.addWidget(label)
        if optional:
            row.addWidget(Text(self.tr("optional"), "caption", "muted"))
        row.addStretch()
        return row

    def _first_mistake(self, new: NewTask) -> tuple[str, str] | None:
        texts = texts_of(new)
        if not new.description and not new.title:
            return "description", self.tr("Describe what should be done.")
        for field in TASK_FIELDS:
            if field.pattern is not None and texts[field.name] and not field.pattern.fullmatch(texts[field.name]):
                return field.name, translate(CONTEXT, field.mistake)
        return None

    def _typed(self, name: str) -> None:
        self._errors[name].say("")
        self._dirty = True
        self._show_discard()
        # Not restarted by each key: who types without a pause loses half a second of text at most.
        if not self._save_soon.isActive():
            self._save_soon.start()

    def _put(self, fields: dict[str, str]) -> None:
        for name, widget in self.inputs.items():
            widget.put(fields.get(name, ""))
        self._clear_errors()
        self.card.clear()
        self._dirty = False
        self._show_discard()

    def _clear_errors(self) -> None:
        for error in self._errors.values():
            error.say("")

    def _show_discard(self) -> None:
        self.discard.setEnabled(not self.empty)

    def _loaded(self, fields: dict[str, str] | None) -> None:
        # What was typed while the draft was being read is newer.
        if fields and self.empty:
            self._put(fields)
            self._say(self.tr("Draft restored"))

    def _saved(self, _: object) -> None:
        self._say("" if self.empty else self.tr("Draft saved"))

    def _not_saved(self, error: BurrowError) -> None:
        self._say(self.tr("Draft not saved: {0}").format(error), tone_bad=True)

    def _say(self, words: str, *, tone_bad: bool = False) -> None:
        self._state.set_tone("bad" if tone_bad else "muted")
        self._state.setText(words)

    def _discard(self) -> None:
        kept = self.fields()
        self.clear()
        self.card.show_note(self.tr("Draft discarded"), actions=[(self.tr("Undo"), self._restorer(kept))], tone="info")

    def _restorer(self, kept: dict[str, str]) -> Callable[[], None]:
        def restore() -> None:
            self._put(kept)
            self._dirty = True
            self.save_now()

        return restore

    def _leave(self) -> None:
        self.save_now()
        self.left.emit()

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.FocusOut:
            self.save_now()
        return False

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if is_send_key(event):
            self.submit()
        elif event.key() == Qt.Key.Key_Escape and event.modifiers() == Qt.KeyboardModifier.NoModifier:
            self._leave()
        else:
            super().keyPressEvent(event)

    @guarded()
    def hideEvent(self, event: QHideEvent) -> None:
        self.save_now()
        super().hideEvent(event)
