"""The composer of a new task: its fields, a draft that is saved while typing, errors at their field."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.core.errors import Rejected
from app.core.posthog.run_options import FIELD as RUN_FIELD
from app.core.posthog.task_fields import TASK_FIELDS, TaskFieldKind, texts_of
from app.core.posthog.types import new_task
from app.core.storage.attachments import FIELD
from app.ui.tasks.attached import AttachmentBox
from app.ui.tasks.field_inputs import FieldInput, LineInput, SuggestedInput, TextInput
from app.ui.tasks.field_rows import TaskFieldRow
from app.ui.tasks.open_draft import OpenDraft
from app.ui.tasks.run_panel import RunBox
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton, with_keys
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.drop_frame import DropFrame
from app.ui.widgets.feedback import InlineCard
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.submit_key import commit_composition, is_submit
from app.ui.widgets.text import Text
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from PySide6.QtGui import QHideEvent, QKeyEvent

    from app.core.errors import BurrowError
    from app.core.posthog.run_options import RunOptions
    from app.core.posthog.types import NewTask
    from app.core.services import Services
    from app.core.storage import Draft, Scope
    from app.ui.bridge import Bridge, Job
    from app.ui.widgets.feedback import Action


class Composer(QWidget):
    """Emits `submitted(NewTask)` or `submitted_to_run(NewTask)` when the user sends, and `left` when they close it.

    `discard_wanted` by its button.
    """

    submitted = Signal(object)
    submitted_to_run = Signal(object)
    left = Signal()
    discard_wanted = Signal()

    def __init__(self, services: Services, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = {each.name: TaskFieldRow(each) for each in TASK_FIELDS}
        self.inputs: dict[str, FieldInput] = {name: row.input for name, row in self.rows.items()}
        self.attached = AttachmentBox(lambda: services.storage.attachments, bridge)
        self.about_run: Callable[[str | None], str] = lambda _repository: ""
        self.draft = OpenDraft(services, bridge, self.fields, self)
        self.draft.loaded.connect(self._loaded)
        self.draft.missing.connect(self._missing)
        self.draft.saved.connect(self._saved)
        self.draft.failed.connect(self._not_saved)
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

    @property
    def run_options(self) -> RunOptions | None:
        """What was chosen for the run; None: as the last run of the repository."""
        return self.run_box.options

    def fields(self) -> dict[str, str]:
        """What is typed, as it is saved in the draft."""
        fields = {name: each.text() for name, each in self.inputs.items()}
        files = self.attached.text()
        if files:
            fields[FIELD] = files
        # By itself it is no draft.
        run = self.run_box.text() if any(fields.values()) else ""
        return {**fields, RUN_FIELD: run} if run else fields

    def start(self, scope: Scope | None) -> None:
        """Save what is typed for the former account, empty the fields, and load what was open for this account."""
        if scope == self.draft.scope:
            return
        # What was typed while there was no account belongs to whoever signs in next.
        kept = self.fields() if self.draft.scope is None else {}
        self.draft.start(scope)
        self._put({})
        self.set_repositories(())
        self._say("")
        if any(kept.values()):
            self._fill(kept)

    def begin(self) -> None:
        """Keep what is typed as a draft, and begin an empty one."""
        if not self.empty:
            self.draft.begin()
            self._put({})
            self._say("")

    def open_draft(self, draft: Draft) -> None:
        """Keep what is typed as a draft, and go on with one that is stored."""
        if draft.id != self.draft.id:
            self.draft.open(draft)
            self._put({})
            self._say("")

    def open_copy(self, draft: Draft) -> None:
        """Keep what is typed as a draft, and begin another one with the text of `draft`."""
        self.begin()
        self._fill(draft.fields)

    def set_repositories(self, names: Sequence[str]) -> None:
        """Offer these repositories. What is typed stays."""
        self.repository.suggest(names)

    def restore(self, new: NewTask, files: str = "") -> None:
        """Begin a draft with a task's text, as after a send that was refused. What is typed is kept as another one."""
        self.begin()
        self._fill({**texts_of(new), FIELD: files})

    def fill_from_link(self, fields: Mapping[str, str], note: str) -> None:
        """Begin a draft with text that somebody else wrote; `note` says so. What is typed is kept as another one."""
        self.begin()
        self._fill(fields)
        self.show_note(note)

    def clear(self) -> None:
        """Empty the fields and forget the draft."""
        self.draft.discard()
        self._put({})
        self._say("")

    def set_aside(self) -> None:
        """Empty the fields, and leave the draft as it is stored."""
        self.draft.set_aside()
        self._put({})
        self._say("")

    def bring_back(self, draft_id: str, fields: Mapping[str, str]) -> None:
        """Go on with a draft that was set aside and has these texts. What is typed is kept as another one."""
        self.draft.resume(draft_id)
        self._say("")
        self._fill(fields)

    def show_error(self, error: BurrowError, actions: Sequence[Action] = ()) -> None:
        """Show why sending failed: at the field that the error names, else as a card above the buttons."""
        attr = error.facts.attr if isinstance(error, Rejected) else None
        if attr in self.rows:
            self.rows[attr].say(error.cause)
            self.card.clear()
            return
        self.card.show_error(error, actions)

    def show_note(self, title: str, cause: str = "", actions: Sequence[Action] = ()) -> None:
        self.card.show_note(title, cause, actions=actions)

    def submit(self, *, run: bool = False) -> None:
        """Check the fields, then emit `submitted`, or `submitted_to_run`. Files that are being copied come with it."""
        self.attached.when_copied(lambda: self._submit(run=run))

    def _submit(self, *, run: bool) -> None:
        self._clear_errors()
        self.card.clear()
        wrong = self._first_mistake()
        if wrong is not None:
            name, words = wrong
            self.rows[name].say(words)
            self.rows[name].focus()
            return
        (self.submitted_to_run if run else self.submitted).emit(
            new_task({name: row.cleaned() for name, row in self.rows.items()})
        )

    @property
    def unsaved(self) -> bool:
        """Whether the draft changed since it was last saved."""
        return self.draft.dirty

    def unsaved_text(self) -> str:
        """What is typed and cannot be saved, because there is no account to save it for."""
        return (
            ""
            if self.draft.scope is not None
            else "\n\n".join(filter(None, (row.text() for row in self.rows.values())))
        )

    def save_now(self) -> Job | None:
        """Save the draft now, if it changed since it was last saved."""
        return self.draft.save_now()

    def focus_first(self) -> None:
        """Focus the description, which is all that a task needs."""
        self.description.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _build(self) -> None:
        current = theme()
        self.card = InlineCard()
        self.run_box = RunBox(lambda: self.rows["repository"].cleaned())
        self._state = Text(role="caption", tone="muted")
        self._state.setMinimumHeight(current.px(tokens.CONTROL))
        self.send = PrimaryButton(self.tr("Create task"), keys="Ctrl+Return", clicked=self.submit)
        self.send_and_run = QuietButton(self.tr("Create and run"), "play", clicked=lambda: self.submit(run=True))
        self.discard = QuietButton(self.tr("Discard draft"), kind="flat", clicked=self.discard_wanted.emit)
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
            row = self.rows[field.name]
            box.addWidget(row, 1 if field.kind is TaskFieldKind.TEXT else 0)
            box.addSpacing(current.px(tokens.SPACE_2))
        box.addWidget(self.attached)
        box.addWidget(self.run_box)
        box.addWidget(self.card)
        buttons = FlowLayout()
        for button in (self.send, self.send_and_run, self.run_box.button, self.back, self.discard, self._state):
            buttons.addWidget(button)
        box.addSpacing(current.px(tokens.SPACE_1))
        box.addLayout(buttons)

        outer = QHBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)

        for row in self.rows.values():
            row.typed.connect(self._typed)
            row.input.installEventFilter(self)
        self.attached.changed.connect(self._typed)
        self.run_box.changed.connect(self.draft.typed)
        self.description.attach = self.attached
        self.drop_frame = DropFrame(
            self,
            self.tr("Drop to attach"),
            takes=self.attached.takes,
            take=self.attached.take,
            fields=tuple(row.input for row in self.rows.values()),
        )
        self.rows["title"].move_wanted.connect(self._move_title)
        self._show_buttons()

    def _first_mistake(self) -> tuple[str, str] | None:
        if not self.rows["description"].cleaned() and not self.rows["title"].cleaned():
            return "description", self.tr("Describe what should be done.")
        return next(((name, words) for name, row in self.rows.items() if (words := row.mistake())), None)

    def _move_title(self) -> None:
        """Put a title that is too long before the description, which has no limit."""
        title, description = self.title.text().strip(), self.description.text()
        self.rows["title"].put("")
        self.description.setPlainText(f"{title}\n\n{description}".rstrip())
        self.rows["description"].focus()

    def _typed(self) -> None:
        if not self.rows["repository"].mistake():
            self.run_box.follow_repository()
        self._show_buttons()
        self.draft.typed()

    def _put(self, fields: Mapping[str, str]) -> None:
        for name, row in self.rows.items():
            row.put(fields.get(name, ""))
        self.attached.put(fields.get(FIELD, ""))
        self.run_box.put(fields.get(RUN_FIELD, ""))
        self.card.clear()
        self._show_buttons()

    def _fill(self, fields: Mapping[str, str]) -> None:
        """Show what the draft is to have, and save it."""
        self._put(fields)
        self.draft.typed()
        self.draft.save_now()

    def _clear_errors(self) -> None:
        for row in self.rows.values():
            row.say("")

    def _show_buttons(self) -> None:
        self.discard.setEnabled(not self.empty)
        wrong = next((row.mistake() for row in self.rows.values() if row.too_long), "")
        for button, keys in ((self.send, "Ctrl+Return"), (self.send_and_run, "Ctrl+Shift+Return")):
            button.setEnabled(not wrong)
            about = self.about_run(self.rows["repository"].cleaned()) if button is self.send_and_run else ""
            words = with_keys(button.text(), keys)
            button.setToolTip(plain_tip(wrong or (f"{words}\n{about}" if about else words)))

    def _loaded(self, fields: dict[str, str]) -> None:
        self._put(fields)
        # Whoever opens a draft goes on writing.
        self.description.moveCursor(QTextCursor.MoveOperation.End)
        self._say(self.tr("Draft opened"))

    def _missing(self) -> None:
        self._say(self.tr("That draft was discarded, or another window has it open."))

    def _saved(self) -> None:
        self._say("" if self.empty else self.tr("Draft saved"))

    def _not_saved(self, error: BurrowError) -> None:
        self._say(self.tr("Draft not saved: {0}").format(error), tone_bad=True)

    def _say(self, words: str, *, tone_bad: bool = False) -> None:
        self._state.set_tone("bad" if tone_bad else "muted")
        self._state.setText(words)

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
        if is_submit(event) or is_submit(event, also=Qt.KeyboardModifier.ShiftModifier):
            commit_composition()
            self.submit(run=bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        elif event.key() == Qt.Key.Key_Escape and event.modifiers() == Qt.KeyboardModifier.NoModifier:
            self._leave()
        else:
            super().keyPressEvent(event)

    @guarded()
    def hideEvent(self, event: QHideEvent) -> None:
        self.save_now()
        super().hideEvent(event)
