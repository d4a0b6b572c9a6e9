"""The page of a tool: description, claims, policy, arguments, and the call."""

from __future__ import annotations

import json
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.ui.servers.call_question import CallQuestion
from app.ui.servers.form import ArgumentForm
from app.ui.servers.kinds import kind_of
from app.ui.servers.offer_line import OfferLine
from app.ui.servers.outcome import OutcomePresenter
from app.ui.servers.policy import SegmentedPolicy
from app.ui.servers.result import HISTORY, ResultView
from app.ui.servers.tool_session import CallPhase, ToolSession
from app.ui.servers.wording import claims_of, shown_name
from app.ui.theme import theme, tokens
from app.ui.widgets.bounded_text import beginning
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.described import Described
from app.ui.widgets.feedback import InlineCard, ProgressLine, clear_layout
from app.ui.widgets.fields import CodeEdit
from app.ui.widgets.guard import guarded
from app.ui.widgets.hairline import Hairline
from app.ui.widgets.scroll_edge import ScrollEdge
from app.ui.widgets.scrolling import LowSplitter
from app.ui.widgets.submit_key import commit_composition
from app.ui.widgets.text import ElidedLabel, StatusWord, Text
from app.ui.widgets.times import duration
from app.ui.widgets.title_row import TitleRow

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent

    from app.core.mcp.forms.model import FormDraft
    from app.core.mcp.forms.validation import ValidationResult
    from app.core.mcp.tools import ToolInfo
    from app.ui.bridge import Bridge

# What a form holds: its draft, and the text of its JSON editor.
Typed: TypeAlias = "tuple[FormDraft, str | None]"
# How often the seconds of a running call are counted up.
TICK_MS = 500
SCHEMA_LINES = 14
# In characters; a server may send anything as the message of its progress.
LONGEST_PROGRESS = 300


class ToolPage(QWidget):
    """Shows a `ToolSession`, and emits a signal for each thing the person wants.

    `left()` on Esc or Back; `said(text)` is to be announced; `drafted(ToolSession)` when its draft changed;
    `other_wanted(ToolSession)` for the arguments that another window left behind.
    """

    policy_wanted = Signal(str)
    allow_wanted = Signal()
    reconnect_wanted = Signal()
    sign_in_wanted = Signal()
    permission_wanted = Signal()
    read_wanted = Signal(str)
    save_wanted = Signal(str, object)
    drafted = Signal(object)
    other_wanted = Signal(object)
    left = Signal()
    said = Signal(str)

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._session: ToolSession | None = None
        self._tick = QTimer(self, interval=TICK_MS)
        self._tick.timeout.connect(self._show_progress)
        self._build()

    @property
    def session(self) -> ToolSession | None:
        """The session that is shown."""
        return self._session

    def show_session(self, session: ToolSession) -> None:
        """Show a session, with form and result as they were left."""
        if session is self._session and self.form.owner is session:
            self._fill()
            return
        # Before anything that may fail: no tool may stand over the arguments of another one.
        self.leave()
        self._session = session
        session.changed.connect(self._show_phase)
        session.progressed.connect(self._show_progress)
        session.storable_changed.connect(self._show_storable)
        self._schema.setVisible(False)
        self._schema_button.set_icon_name("chevron-right")
        self.area.verticalScrollBar().setValue(0)
        self._fill()
        self._show_form(session)
        self.show_other()
        self._show_storable()
        self._show_phase()

    def show_other(self) -> None:
        """Offer the arguments that another window left behind."""
        session = self._session
        if session is None or session.other is None:
            self._other.clear()
            return
        words = self.tr("Other arguments of this tool were typed in another window.")
        self._other.say(words, self.tr("Show them"), lambda: self.other_wanted.emit(session))

    def show_draft(self) -> None:
        """Fill the form with the session's draft, which was restored."""
        session = self._session
        if session is not None:
            self._show_form(session)
            self._show_phase()

    def use_arguments(self, arguments: dict[str, Any]) -> Typed:
        """Fill the form with arguments. Returns what it had before, for `restore`."""
        former = self.form.draft, self.form.text()
        self.restore((self.form.model.draft_from(arguments), None))
        return former

    def restore(self, typed: Typed) -> None:
        """Fill the form with what it had."""
        session = self._session
        if session is not None:
            session.draft, session.json_text = typed
            session.touched = True
            self.form.show_model(self.form.model, *typed)
            self._form_changed()

    def show_history_button(self) -> None:
        """Offer the history while no result is in view, which has a tab for it."""
        self.history_button.setVisible(self.result.history.has_calls and self.result.isHidden())

    def show_history(self) -> None:
        """Show the earlier calls of the tool: beside the result in view, if there is one."""
        if self.result.isHidden():
            self.result.setVisible(self.result.show_history())
            self.history_button.hide()
        else:
            self.result.tabs.setCurrentIndex(HISTORY)
        self.parts.bring(self.result)
        self.result.history.table.setFocus()

    def focus_first(self) -> None:
        """Focus the first argument, or the page where there is none: Enter does nothing there, and keys scroll it."""
        if not self.form.focus_first():
            self.area.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def leave(self) -> None:
        """Show no tool."""
        if self._session is not None:
            self._session.changed.disconnect(self._show_phase)
            self._session.progressed.disconnect(self._show_progress)
            self._session.storable_changed.disconnect(self._show_storable)
        self._session = None
        self.form.clear()
        self._tick.stop()

    def update_tool(self) -> None:
        """The tool changed on the server or in the store: show that. What is typed stays."""
        self._fill()
        session = self._session
        # Only another schema needs another form: building one takes the focus out of the field that is being typed in.
        if session is not None and session.tool.input_schema != self.form.schema:
            self._show_form(session)

    def run(self) -> None:
        """Check the form, then call the tool. What is wrong is shown, and nothing is sent then."""
        session = self._session
        if session is None or session.busy or self._why_disabled():
            return
        if session.asks:
            # Ctrl+Enter is no answer either.
            self.question.take_focus()
            return
        commit_composition()
        arguments = self.form.arguments()
        if arguments is None:
            return
        model = self.form.model

        def checked(verdict: ValidationResult) -> None:
            # The schema was checked in a worker thread. Another tool may be in view by now.
            if session is not self._session or self.form.owner is not session:
                return
            if verdict.problems:
                self.form.show_problems(verdict.problems, self.tr("The server will probably reject this"))
                self.run_anyway.setVisible(True)
            else:
                self._ask(session, arguments)
            self.form.show_unchecked(verdict.unchecked)

        self._bridge.spawn(self, model.validate(arguments), done=checked, key="check")

    def run_as_is(self) -> None:
        """Send arguments that do not match the schema."""
        session = self._session
        if session is None or session.busy or session.asks or self.form.owner is not session:
            return
        commit_composition()
        arguments = self.form.arguments()
        if arguments is not None:
            self._ask(session, arguments)

    def run_again(self) -> None:
        """Repeat the last call, whatever is in the form."""
        session = self._session
        if session is None or session.busy or session.tool.problem:
            return
        if not session.asks:
            session.again()
        if session.asks:
            self.question.take_focus()

    def cancel(self) -> None:
        """Cancel the running call, or withdraw one that asks."""
        if self._session is None:
            return
        if self._session.asks:
            self._decline()
        else:
            self._session.cancel()

    @property
    def can_run(self) -> bool:
        return self._session is not None and not self._session.busy and not self._why_disabled()

    def _show_form(self, session: ToolSession) -> None:
        self.form.show_tool(session, session.tool.input_schema, session.draft, session.json_text)
        self._show_run()

    def _show_storable(self) -> None:
        session = self._session
        said = session is not None and not session.storable
        if said and self.not_kept.isHidden():
            self.said.emit(self.not_kept.text())
        self.not_kept.setVisible(said)

    def _ask(self, session: ToolSession, arguments: dict[str, Any]) -> None:
        self.run_anyway.setVisible(False)
        session.draft, session.json_text = self.form.draft, self.form.text()
        session.ask(arguments)
        if session.asks:
            self.question.take_focus()

    def _decline(self) -> None:
        if self._session is not None:
            self._session.dismiss()

    def _agree(self) -> None:
        if self._session is not None:
            self._session.agree()

    def _run_once(self) -> None:
        if self._session is not None:
            self._session.run_once()

    def _build(self) -> None:
        current = theme()
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        self.back = QuietButton(self.tr("All tools"), "back", kind="flat", keys="Esc", clicked=self.left.emit)
        self.back.setAccessibleName(self.tr("Back to all tools"))
        self.title = ElidedLabel("", "section", mode=Qt.TextElideMode.ElideRight)
        self.policy = SegmentedPolicy(self.tr("Policy"))
        self.policy.chosen.connect(self.policy_wanted)
        titles = TitleRow(self.title)
        titles.add_beside(self.back)
        titles.addWidget(self.policy)
        head = QVBoxLayout()
        head.setContentsMargins(wide, gap, wide, gap)
        head.addLayout(titles)

        # What holds other widgets is made before them: Qt styles all of them again when it gets another parent.
        self.stack = QStackedWidget(self)
        self.form_page = QWidget(self.stack)
        page = QVBoxLayout(self.form_page)
        page.setContentsMargins(0, 0, 0, 0)
        page.setSpacing(0)
        page.addLayout(head)
        self.parts = LowSplitter(self.tr("Arguments and result"), self.form_page)
        upper = QWidget(self.parts.splitter)
        self.area = ScrollColumn(self.tr("Tool"), upper, side=tokens.SPACE_4, top=tokens.SPACE_2)
        page.addWidget(ScrollEdge(self.area))
        page.addWidget(self.parts, 1)
        box = self.area.box
        self.name = Text("", "mono", "muted", wrap=True, selectable=True)
        self._claims = QVBoxLayout()
        self._claims.setSpacing(current.px(2))
        self.description = Described(self.tr("Description of the tool"))
        self.lock = Text("", "caption", "muted", wrap=True)
        self.problem = InlineCard()
        self._schema_button = QuietButton(self.tr("Schema"), "chevron-right", kind="flat", clicked=self._toggle_schema)
        self._schema_button.setAccessibleName(self.tr("Show or hide the schema"))
        self._schema = CodeEdit(self.tr("Schema of the arguments"), read_only=True)
        self._schema.setFixedHeight(self._schema.fontMetrics().lineSpacing() * SCHEMA_LINES)
        self._other = OfferLine()
        self.form = ArgumentForm()
        self.form.changed.connect(self._form_changed)
        self.form.ready_changed.connect(self._show_run)
        for part in (self.name, self.problem, self.description):
            box.addWidget(part)
        box.addLayout(self._claims)
        box.addWidget(self.lock)
        box.addWidget(self._schema_button)
        box.addWidget(self._schema)
        box.addSpacing(gap)
        box.addWidget(self._other)
        self.not_kept = Text(
            self.tr("These arguments are too long to be stored. They are kept until the window closes."),
            tone="attention",
            wrap=True,
        )
        self.not_kept.setVisible(False)
        box.addWidget(self.not_kept)
        box.addWidget(self.form)
        box.addStretch()

        self.run_button = PrimaryButton(self.tr("Run"), "play", keys="Ctrl+Return", clicked=self.run)
        self.run_anyway = QuietButton(self.tr("Run anyway"), clicked=self.run_as_is)
        self.run_anyway.setVisible(False)
        self.cancel_button = QuietButton(self.tr("Cancel"), "stop", keys="Ctrl+.", clicked=self.cancel)
        self.history_button = QuietButton(self.tr("History"), "clock", kind="flat", clicked=self.show_history)
        self.history_button.setVisible(False)
        self.words = ElidedLabel("", tone="muted", mode=Qt.TextElideMode.ElideRight)
        self.progress = ProgressLine(self.tr("The call is running"))
        bar = QHBoxLayout()
        bar.setContentsMargins(wide, gap, wide, gap)
        bar.setSpacing(gap)
        bar.addWidget(self.run_button)
        bar.addWidget(self.cancel_button)
        bar.addWidget(self.run_anyway)
        bar.addWidget(self.words, 1)
        bar.addWidget(self.history_button)

        above = QVBoxLayout(upper)
        above.setContentsMargins(0, 0, 0, 0)
        above.setSpacing(0)
        above.addWidget(self.area, 1)
        above.addWidget(Hairline())
        above.addLayout(bar)
        above.addWidget(self.progress)
        self.result = ResultView(self._bridge, self.parts.splitter)
        self.result.read_wanted.connect(self.read_wanted)
        self.result.save_wanted.connect(self.save_wanted)
        self._outcome = OutcomePresenter(
            self.result,
            reconnect=self.reconnect_wanted.emit,
            sign_in=self.sign_in_wanted.emit,
            permit=self.permission_wanted.emit,
        )
        self.parts.hold([upper, self.result], [current.px(360), current.px(300)])
        self.result.setVisible(False)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        self.question = CallQuestion()
        self.question.declined.connect(self._decline)
        self.question.run_wanted.connect(self._agree)
        self.question.once_wanted.connect(self._run_once)
        self.question.always_wanted.connect(self.allow_wanted)
        # In the place of all the rest: what is asked about are the arguments in the question, and no others.
        self.stack.addWidget(self.form_page)
        self.stack.addWidget(self.question)
        outer.addWidget(self.stack, 1)

    def _fill(self) -> None:
        session = self._session
        if session is None:
            return
        tool = session.tool
        self.title.setText(tool.label)
        self.area.setAccessibleName(tool.label)
        self.name.setText(shown_name(tool.name))
        self.name.setVisible(bool(tool.title) and tool.title != tool.name)
        self.description.set_text(tool.description.strip())
        clear_layout(self._claims)
        for claim in claims_of(tool):
            self._claims.addWidget(StatusWord(claim, "caption"))
        self._show_policy()
        if tool.problem:
            self.problem.show_note(self.tr("This tool has a problem"), tool.problem, tone="attention")
        else:
            self.problem.clear()
        if not self._schema.isHidden():
            self._show_schema(tool)
        self.policy.setVisible(tool.problem is None)
        self._show_run()

    def _show_policy(self) -> None:
        assert self._session is not None
        tool, server = self._session.tool, self._session.server
        self.policy.set_value(tool.policy or kind_of(server).unset_policy)
        reason = self.tr("Locked: the team sets the policy of this tool.") if tool.locked else ""
        self.policy.set_locked(reason)
        self.lock.setText(reason)
        self.lock.setVisible(bool(reason))

    def _show_schema(self, tool: ToolInfo) -> None:
        """Write the schema out. Only while it is shown: a large one takes longer than all the rest."""
        schema = {"input": tool.input_schema}
        if tool.output_schema is not None:
            schema["output"] = tool.output_schema
        self._schema.set_text(json.dumps(schema, indent=2, ensure_ascii=False, default=str))

    def _toggle_schema(self) -> None:
        shown = self._schema.isHidden()
        if shown and self._session is not None:
            self._show_schema(self._session.tool)
        self._schema.setVisible(shown)
        self._schema_button.set_icon_name("chevron-down" if shown else "chevron-right")

    def _form_changed(self) -> None:
        session = self._session
        if session is None or self.form.owner is not session:
            return
        session.draft, session.json_text = self.form.draft, self.form.text()
        session.touched = True
        self.run_anyway.setVisible(False)
        self._show_run()
        self.drafted.emit(session)

    def _why_disabled(self) -> str:
        session = self._session
        if session is None:
            return ""
        if session.tool.problem and not session.tool.name:
            return self.tr("The tool has no name, so it cannot be called.")
        if self.form.owner is not session:
            return self.tr("The arguments are not shown, so the tool cannot be called.")
        return self.form.why_not_ready

    def _show_run(self) -> None:
        session = self._session
        busy = session is not None and session.busy
        why = self._why_disabled()
        self.run_button.setVisible(not busy)
        self.run_button.setEnabled(not why)
        self.run_button.setAccessibleDescription(why)
        self.cancel_button.setVisible(busy)
        if session is None or not session.running:
            self.words.setText("" if busy else why)
            self.words.set_tone("bad" if why else "muted")

    def _show_phase(self) -> None:
        session = self._session
        if session is None:
            return
        if session.phase is CallPhase.RUNNING:
            self.progress.start()
            self._tick.start()
        else:
            self.progress.stop()
            self._tick.stop()
        self._show_run()
        self._show_progress()
        if session.asks:
            self.question.show_session(session)
        self._turn_to(self.question if session.asks else self.form_page)
        appears = self.result.isHidden()
        self.result.setVisible(self._outcome.show(session))
        if appears and not self.result.isHidden():
            self.parts.bring(self.result)
        self.show_history_button()
        self._announce(session)

    def _turn_to(self, part: QWidget) -> None:
        """Show the question or the form. The focus goes with it: to the answer that calls nothing, and back."""
        former = self.stack.currentWidget()
        focused = QApplication.focusWidget()
        had_focus = former is not None and focused is not None and former.isAncestorOf(focused)
        self.stack.setCurrentWidget(part)
        if had_focus and part is not former:
            if part is self.question:
                self.question.take_focus()
            else:
                button = self.cancel_button if self.cancel_button.isVisibleTo(self) else self.run_button
                button.setFocus(Qt.FocusReason.OtherFocusReason)

    def _announce(self, session: ToolSession) -> None:
        words = {
            CallPhase.RUNNING: self.tr("Running {0}"),
            CallPhase.DONE: self.tr("{0} finished"),
            CallPhase.CANCELLED: self.tr("{0} cancelled"),
            CallPhase.FAILED: self.tr("{0} failed"),
            CallPhase.ASKING: self.tr("{0} needs your approval"),
            CallPhase.CONFIRMING: self.tr("{0} needs your approval"),
            CallPhase.ALLOWING: self.tr("{0} waits for your browser"),
            CallPhase.QUIET: self.tr("Still no answer from {0}"),
        }.get(session.phase)
        # The card says which permission is missing. That is more than that the call failed.
        if session.phase is CallPhase.FAILED and session.need is not None:
            self.said.emit(self.result.card.text())
        elif words:
            self.said.emit(words.format(session.tool.label))

    def _show_progress(self) -> None:
        session = self._session
        if session is None or session.phase is not CallPhase.RUNNING:
            return
        parts = [self.tr("Running, {0}").format(duration(monotonic() - session.started))]
        progress = session.progress
        if progress is not None:
            total = progress.total
            self.progress.set_fraction(progress.value / total if total else None)
            parts.append(f"{progress.value:g} / {total:g}" if total else f"{progress.value:g}")
            if progress.message:
                parts.append(shown_name(beginning(" ".join(progress.message.split()), LONGEST_PROGRESS)))
        self.words.set_tone("muted")
        self.words.setText("  ·  ".join(parts))

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        if plain and event.key() == Qt.Key.Key_Escape:
            if self._session is not None and (self._session.busy or self._session.asks):
                self.cancel()
            else:
                self.left.emit()
        else:
            super().keyPressEvent(event)
