"""The result of a call: its state, then Text · Data · Raw."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from app.core.mcp.results.blocks import AudioBlock, ImageBlock, ResourceBlock, TextBlock
from app.ui.servers.blocks import SHOWN_CHARACTERS, block_widget, size_words
from app.ui.servers.wording import CallState, call_state
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.choices import TabStrip
from app.ui.widgets.feedback import InlineCard, clear_layout
from app.ui.widgets.fields import CodeEdit
from app.ui.widgets.jsontree import JsonTree
from app.ui.widgets.text import StatusWord, Text
from app.ui.widgets.times import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.mcp.results.blocks import Block, CallResult
    from app.ui.bridge import Bridge
    from app.ui.widgets.feedback import Action

TEXT, DATA, RAW = range(3)
# A larger answer is formatted in a worker thread.
OFF_LOOP_BYTES = 128 * 1024
# A longer text is not tried as JSON, because that is done while the window waits.
PARSED_TEXT_LIMIT = 200_000


class ResultView(QWidget):
    """Emits `read_wanted(uri)` to read a linked resource, `save_wanted(name, data)` to save a file."""

    read_wanted = Signal(str)
    save_wanted = Signal(str, object)

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._result: CallResult | None = None
        self._raw_text: str | None = None
        self._waiting = False
        current = theme()
        self.status = StatusWord(role="strong")
        self.tabs = TabStrip([self.tr("Text"), self.tr("Data"), self.tr("Raw")], self.tr("Result as"))
        self.tabs.currentChanged.connect(self._show_tab)
        head = QHBoxLayout()
        head.setContentsMargins(current.px(tokens.SPACE_4), current.px(tokens.SPACE_2), current.px(tokens.SPACE_4), 0)
        head.setSpacing(current.px(tokens.SPACE_4))
        head.addWidget(Text(self.tr("Result"), "section"))
        head.addWidget(self.status)
        head.addStretch()
        head.addWidget(self.tabs)
        self.card = InlineCard()
        self._blocks = QVBoxLayout()
        self._blocks.setSpacing(current.px(tokens.SPACE_3))
        column = QWidget()
        inner = QVBoxLayout(column)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addLayout(self._blocks)
        inner.addStretch()
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setAccessibleName(self.tr("Result"))
        self._area.setWidget(column)
        self.tree = JsonTree(self.tr("Structured result"))
        self.raw = CodeEdit(self.tr("Raw result"), read_only=True)
        raw_page = QWidget()
        raw_box = QVBoxLayout(raw_page)
        raw_box.setContentsMargins(0, 0, 0, 0)
        self._raw_note = Text("", "caption", "muted")
        self._raw_save = QuietButton(self.tr("Save full answer…"), "download", clicked=self._save_raw)
        note = QHBoxLayout()
        note.addWidget(self._raw_note, 1)
        note.addWidget(self._raw_save)
        raw_box.addLayout(note)
        raw_box.addWidget(self.raw, 1)
        self.stack = QStackedWidget()
        for page in (self._area, self.tree, raw_page):
            self.stack.addWidget(page)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(tokens.SPACE_2))
        box.addLayout(head)
        body = QVBoxLayout()
        wide = current.px(tokens.SPACE_4)
        body.setContentsMargins(wide, 0, wide, current.px(tokens.SPACE_3))
        body.setSpacing(current.px(tokens.SPACE_2))
        body.addWidget(self.card)
        body.addWidget(self.stack, 1)
        # Takes the room of the stack while that is hidden, so that a card stays at the top.
        self._spare = QWidget()
        body.addWidget(self._spare, 1)
        box.addLayout(body, 1)

    def show_result(self, result: CallResult) -> None:
        """Show a tool's result, which may be one that the tool calls an error."""
        # Showing the same result again would lose the chosen tab and the scroll position.
        if result is self._result and self.stack.isVisibleTo(self):
            return
        self._result, self._raw_text = result, None
        self.status.set_state(
            call_state(CallState.TOOL_ERROR if result.is_error else CallState.DONE), duration(result.seconds)
        )
        if result.is_error:
            self.card.show_note(
                self.tr("The tool reports an error"),
                self.tr("What it says is below. The arguments are kept."),
                tone="attention",
            )
        else:
            self.card.clear()
        self._fill_blocks(result.blocks, has_data=result.structured is not None)
        data = result.structured if result.structured is not None else _parsed(result.blocks)
        self.tree.set_value(data if data is not None else {})
        self.tabs.setTabEnabled(DATA, data is not None)
        self.raw.clear()
        self._set_body(shown=True)
        self.tabs.setCurrentIndex(DATA if not result.blocks and data is not None else TEXT)
        self._show_tab(self.tabs.currentIndex())

    def set_waiting(self, waiting: bool) -> None:
        """Set whether the call that the next card is about waits for the sign-in."""
        self._waiting = waiting

    def show_card(
        self,
        state: CallState | None,
        seconds: float | None,
        title: str,
        cause: str,
        advice: str = "",
        actions: Sequence[Action] = (),
        *,
        tone: Any = "bad",
        detail: str = "",
    ) -> None:
        """Show why there is no result, and what can be done."""
        self._result = None
        if self._waiting:
            self.status.set_state(call_state(CallState.WAITING))
        else:
            took = duration(seconds) if seconds is not None else ""
            self.status.set_state(call_state(state) if state is not None else None, took)
        self.card.show_note(title, cause, advice, actions, tone=tone, detail=detail)
        self._set_body(shown=False)

    def add_blocks(self, heading: str, blocks: Sequence[Block]) -> None:
        """Add the content of a linked resource below the rest."""
        self._blocks.addWidget(Text(heading, "caption", "muted", wrap=True))
        for block in blocks:
            self._blocks.addWidget(self._widget(block))
        if not blocks:
            self._blocks.addWidget(Text(self.tr("The resource is empty."), tone="muted"))

    def add_card(self, title: str, cause: str, actions: Sequence[Action]) -> InlineCard:
        """Say below the rest that a link could not be read."""
        card = InlineCard()
        self._blocks.addWidget(card)
        card.show_note(title, cause, "", actions, tone="bad")
        return card

    def block_widgets(self) -> list[QWidget]:
        """The widgets of the Text page, for tests."""
        found = []
        for place in range(self._blocks.count()):
            item = self._blocks.itemAt(place)
            widget = item.widget() if item is not None else None
            if widget is not None:
                found.append(widget)
        return found

    def _set_body(self, *, shown: bool) -> None:
        self.stack.setVisible(shown)
        self._spare.setVisible(not shown)
        self.tabs.setVisible(shown)

    def _fill_blocks(self, blocks: Sequence[Block], *, has_data: bool) -> None:
        clear_layout(self._blocks)
        self._area.verticalScrollBar().setValue(0)
        for block in blocks:
            self._blocks.addWidget(self._widget(block))
        if not blocks:
            words = (
                self.tr("Done. The tool returned data only.")
                if has_data
                else self.tr("Done. The tool returned no content.")
            )
            self._blocks.addWidget(Text(words, tone="muted", wrap=True))

    def _widget(self, block: Block) -> QWidget:
        return block_widget(block, self.save_wanted.emit, self.read_wanted.emit)

    def _show_tab(self, tab: int) -> None:
        self.stack.setCurrentIndex(max(tab, 0))
        if tab == RAW and self._result is not None and self._raw_text is None:
            self._make_raw(self._result)

    def _make_raw(self, result: CallResult) -> None:
        if _size_of(result) <= OFF_LOOP_BYTES:
            self._show_raw(json.dumps(result.raw, indent=2, ensure_ascii=False, default=str))
            return
        work = asyncio.to_thread(json.dumps, result.raw, indent=2, ensure_ascii=False, default=str)

        def done(text: str) -> None:
            # Another result or a card may be in view by now.
            if result is self._result:
                self._show_raw(text)

        self._bridge.spawn(self, work, done=done, key="raw")

    def _show_raw(self, text: str) -> None:
        self._raw_text = text
        self.raw.setPlainText(text[:SHOWN_CHARACTERS])
        cut = len(text) > SHOWN_CHARACTERS
        self._raw_note.setText(
            self.tr("The first {0} of {1}").format(size_words(SHOWN_CHARACTERS), size_words(len(text))) if cut else ""
        )
        self._raw_note.setVisible(cut)
        self._raw_save.setVisible(cut)

    def _save_raw(self) -> None:
        if self._raw_text is not None:
            self.save_wanted.emit("result.json", self._raw_text.encode())


def _parsed(blocks: Sequence[Block]) -> Any:
    """The value of a result that consists of one JSON text, as many servers return; None when it does not."""
    if len(blocks) != 1 or not isinstance(blocks[0], TextBlock) or len(blocks[0].text) > PARSED_TEXT_LIMIT:
        return None
    text = blocks[0].text.strip()
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _size_of(result: CallResult) -> int:
    """About how large the answer is as JSON, without making the JSON."""
    total = 0
    for block in result.blocks:
        match block:
            case TextBlock(text=text):
                total += len(text)
            case ImageBlock(data=data) | AudioBlock(data=data):
                total += len(data)
            case ResourceBlock(text=text, blob=blob):
                total += len(text or "") + len(blob or b"")
            case _:
                total += 100
    return total
