"""The Workspace lab: set faults on the embedded workspace and watch how Burrow recovers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QCoreApplication, Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from app.core.errors import SignInNeeded
from app.ui import activity_words
from app.ui.context import Command
from app.ui.lab.fault_list import FaultList
from app.ui.lab.faults import FAULTS
from app.ui.place import Place
from app.ui.theme import theme, tokens
from app.ui.translation import marked
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.fields import FieldError
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.line_edit import LineEdit
from app.ui.widgets.page import RememberedSplitter, TitledPage
from app.ui.widgets.tables import Column, DataTable
from app.ui.widgets.text import Text
from app.ui.widgets.times import absolute, clock, duration, moment_at

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from app.core.diagnostics.activity import ActivityRecord
    from app.core.errors import BurrowError
    from app.core.lab import Lab
    from app.ui.context import Context
    from app.ui.lab.fault import Fault
    from app.ui.place import Identity
    from app.ui.theme.tokens import Tone

# Several records come at once; the table is filled once for all of them.
SETTLE_MS = 250
EVENTS_AT_LEAST = 300
COUNTERS = {
    "refreshes_accepted": marked("Lab", "Renewals accepted"),
    "refreshes_rejected": marked("Lab", "Renewals refused"),
    "grants_revoked": marked("Lab", "Grants revoked"),
    "requests": marked("Lab", "Requests"),
}
NOT_KNOWN = "–"
# Answers every live token (docs/wire.md, "Dead tokens").
PROBE = "/api/users/@me/"


class LabPlace(Place):
    """Faults on the left; on the right the workspace's counters and what Burrow recorded."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self.page = TitledPage(self.tr("Workspace lab"))
        self.counters: dict[str, Text] = {}
        self.reset_button = QuietButton(self.tr("Clear all faults"), "refresh", clicked=self._reset)
        # For a page of the workspace that another program, or the user, has opened.
        self.code_button = QuietButton(self.tr("Code for a sign-in page"), "key", clicked=self._show_code)
        self.page.add_action(self.code_button)
        self.page.add_action(self.reset_button)
        self._unlock_form = self._build_unlock_form()
        self.faults = FaultList()
        self.faults.chosen.connect(self.set_fault)
        split = RememberedSplitter(Qt.Orientation.Horizontal, [self.faults, self._build_events()], [400, 560])
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._unlock_form)
        column.addWidget(split, 1)
        self.page.set_body(body)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.page)
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._settle.timeout.connect(self._show)
        context.bridge.listen(self, context.services.activity.changed, self._record_added)
        self._show_usable()

    def show_account(self, former: Identity | None) -> None:
        """Show the faults and events of this host."""
        self.context.bridge.cancel(self)
        self.page.card.clear()
        self._show_usable()
        if self.isVisible():
            self.refresh()

    def activate(self) -> None:
        """Show the counters of now."""
        self.refresh()

    def refresh(self) -> None:
        """Ask the workspace for its counters."""
        lab = self._lab()
        if lab is not None and lab.unlocked:
            self._spawn(lab.state(), self._show_state, key="state")
        self._show()

    def open_item(self, item: str) -> None:
        """Set a fault by its key."""
        fault = next((fault for fault in FAULTS if fault.key == item), None)
        if fault is not None:
            self.set_fault(fault)

    def commands(self) -> Sequence[Command]:
        """Every fault as a command."""
        found = [self._command(fault) for fault in FAULTS]
        code = Command(
            "lab.code", self.tr("Code for a sign-in page"), self._show_code, group=self._group(), enabled=self._usable
        )
        lift = Command("lab.reset", self.tr("Clear all faults"), self._reset, group=self._group(), enabled=self._usable)
        return [*found, code, lift]

    def panes(self) -> Sequence[QWidget]:
        """For F6."""
        return [self._unlock_form, self.faults, self.events]

    def set_fault(self, fault: Fault) -> None:
        """Set a fault, then make one request, so that there is something to see."""
        lab, backend = self._lab(), self.backend
        if lab is None or backend is None:
            return

        async def act() -> None:
            await fault.act(lab)
            await backend.fetcher.get(PROBE)

        self.page.progress.start()
        self._spawn(act(), lambda _: self._fault_set(), key="fault")

    def _command(self, fault: Fault) -> Command:
        return Command(
            f"lab.{fault.key}",
            _tr(fault.title),
            lambda: self.set_fault(fault),
            group=self._group(),
            enabled=self._usable,
        )

    def _group(self) -> str:
        return self.tr("Workspace lab")

    def _usable(self) -> bool:
        lab = self._lab()
        return lab is not None and lab.unlocked

    def _lab(self) -> Lab | None:
        return self.backend.lab if self.backend is not None else None

    def _build_events(self) -> QWidget:
        current = theme()
        panel = QWidget()
        panel.setMinimumWidth(current.px(EVENTS_AT_LEAST))
        column = QVBoxLayout(panel)
        side = current.px(tokens.SPACE_4)
        column.setContentsMargins(side, current.px(tokens.SPACE_2), side, side)
        column.setSpacing(current.px(tokens.SPACE_3))
        numbers = FlowLayout()
        numbers.setSpacing(current.px(tokens.SPACE_5))
        cells = [self._counter(name) for name in COUNTERS]
        widest = max(cell.sizeHint().width() for cell in cells)
        for cell in cells:
            cell.setMinimumWidth(widest)
            numbers.addWidget(cell)
        column.addLayout(numbers)
        column.addWidget(Text(self.tr("What Burrow did"), "section"))
        columns: list[Column[ActivityRecord]] = [
            Column(self.tr("Time"), lambda record: clock(moment_at(record.at)), 84, tooltip=_when),
            Column(self.tr("What"), activity_words.summary, tooltip=activity_words.summary),
            Column(self.tr("Outcome"), activity_words.outcome, 100, tone=_tone),
            Column(self.tr("Took"), _took, 84, right=True, drop_below=360),
        ]
        self.events: DataTable[ActivityRecord] = DataTable(
            self.tr("What Burrow did"), columns, lambda record: record.id
        )
        column.addWidget(self.events, 1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setMinimumWidth(panel.minimumWidth())
        area.setWidget(panel)
        return area

    def _counter(self, name: str) -> QWidget:
        cell = QWidget()
        box = QVBoxLayout(cell)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        self.counters[name] = Text(role="title")
        self._count(name, NOT_KNOWN)
        box.addWidget(self.counters[name])
        box.addWidget(Text(_tr(COUNTERS[name]), "caption", "muted"))
        return cell

    def _count(self, name: str, number: str) -> None:
        self.counters[name].setText(number)
        self.counters[name].setAccessibleName(f"{_tr(COUNTERS[name])}: {number}")

    def _build_unlock_form(self) -> QWidget:
        current = theme()
        box = QWidget()
        side = current.px(tokens.SPACE_4)
        column = QVBoxLayout(box)
        column.setContentsMargins(side, current.px(tokens.SPACE_2), side, current.px(tokens.SPACE_3))
        words = self.tr("Burrow did not start this workspace. Paste the secret from its ready line to unlock the lab.")
        column.addWidget(Text(words, tone="muted", wrap=True))
        self.secret = LineEdit()
        self.secret.setEchoMode(QLineEdit.EchoMode.Password)
        self.secret.setAccessibleName(self.tr("Secret of the workspace"))
        self.secret.setPlaceholderText(self.tr("Secret of the workspace"))
        self.secret.returnPressed.connect(self._unlock)
        row = QHBoxLayout()
        row.addWidget(self.secret, 1)
        row.addWidget(PrimaryButton(self.tr("Unlock"), clicked=self._unlock))
        column.addLayout(row)
        self.secret_error = FieldError(self.secret)
        column.addWidget(self.secret_error)
        return box

    def _show_usable(self) -> None:
        lab = self._lab()
        usable = lab is not None and lab.unlocked
        self._unlock_form.setVisible(lab is not None and not usable)
        for button in (*self.faults.buttons.values(), self.reset_button, self.code_button):
            button.setEnabled(usable)
        if not usable:
            for name in COUNTERS:
                self._count(name, NOT_KNOWN)

    def _unlock(self) -> None:
        lab = self._lab()
        if lab is None:
            return

        def unlocked(_: None) -> None:
            self.secret.clear()
            self.secret_error.say("")
            self._show_usable()
            self.refresh()

        def refused(error: BurrowError) -> None:
            self.secret_error.say(error.cause)

        self.context.bridge.spawn(self, lab.unlock(self.secret.text()), done=unlocked, failed=refused, key="unlock")

    def _reset(self) -> None:
        lab = self._lab()
        if lab is not None:
            self.page.progress.start()
            self._spawn(lab.reset(), lambda _: self._fault_set(), key="fault")

    def _show_code(self) -> None:
        lab = self._lab()
        if lab is not None:
            shown = self.tr("Code: {}")
            self._spawn(lab.person_code(), lambda code: self.code_button.setText(shown.format(code)), key="code")

    def _fault_set(self) -> None:
        self.page.progress.stop()
        self.page.card.clear()
        self.refresh()

    def _record_added(self, record: ActivityRecord) -> None:
        if record.kind == "auth" and self.isVisible():
            self._settle.start()

    def _show(self) -> None:
        target = self.backend.host.origin if self.backend is not None else ""
        every = self.context.services.activity.records()
        self.events.set_items([record for record in every if record.kind == "auth" and record.target == target])

    def _show_state(self, state: dict[str, Any]) -> None:
        counters = state.get("counters")
        counters = counters if isinstance(counters, dict) else {}
        for name in COUNTERS:
            number = counters.get(name, 0)
            number = sum(number.values()) if isinstance(number, dict) else number
            self._count(name, self.locale().toString(int(number)))

    def _spawn(self, work: Coroutine[Any, Any, Any], done: Callable[[Any], object], *, key: str) -> None:
        self.context.bridge.spawn(self, work, done=done, failed=self._failed, key=key)

    def _failed(self, error: BurrowError) -> None:
        self.page.progress.stop()
        if isinstance(error, SignInNeeded):
            # What the fault is for. The sign-in bar shows it.
            self._fault_set()
            return
        self.page.card.show_error(error)
        self._show()


def _when(record: ActivityRecord) -> str:
    return absolute(moment_at(record.at))


def _took(record: ActivityRecord) -> str:
    return "" if record.milliseconds is None else duration(record.milliseconds / 1000)


def _tone(record: ActivityRecord) -> Tone:
    if record.status in {"ok", "renewed", "adopted"}:
        return "good"
    return "bad" if record.summary.startswith("ended") else "attention"


def _tr(text: str) -> str:
    return QCoreApplication.translate("Lab", text)
