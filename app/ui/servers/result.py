"""The result of a call: its state, then its content, its data, the answer as it came, and earlier calls."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QMenu, QVBoxLayout, QWidget

from app.core.mcp.forms.mismatch import mismatch
from app.core.mcp.results.blocks import AudioBlock, ImageBlock, LinkBlock, ResourceBlock, TextBlock
from app.core.mcp.results.exact import Exact, exact_data, may_have_data, written
from app.marks import revealed, revealed_name
from app.ui.servers.blocks import BlockTools, block_part, encoded
from app.ui.servers.data_page import DataPage
from app.ui.servers.history_page import HistoryPage
from app.ui.servers.picture_loader import PictureLoader
from app.ui.servers.raw_page import RawPage
from app.ui.servers.wording import CallState, call_state
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import IconButton
from app.ui.widgets.choices import CheckBox, TabStrip
from app.ui.widgets.feedback import InlineCard
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.prose import looks_like_markdown
from app.ui.widgets.scrolling import ScrollingPages
from app.ui.widgets.text import StatusWord, Text
from app.ui.widgets.times import duration
from app.ui.widgets.viewed_column import Viewed, ViewedColumn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.mcp.forms.validation import FieldProblem
    from app.core.mcp.results.blocks import Block, CallResult
    from app.ui.bridge import Bridge
    from app.ui.widgets.feedback import Action

CONTENT, DATA, RAW, HISTORY = range(4)
# A larger answer is read in a worker thread.
OFF_LOOP_BYTES = 64 * 1024
LOWEST, LOWEST_PAGE = 140, 96
LONGEST_PROBLEM = 300
LONGEST_IN_CARD = 1_000
# The forms in which a call can be copied, and what they are called.
COPIED_CALLS = (("curl", "Copy call as curl"), ("python", "Copy call as Python"), ("command", "Copy call as a command"))


class ResultView(QWidget):
    """Emits what the person wants: `read_wanted(uri)` to read a linked resource, `save_wanted(name, data)` to save a
    file, `copy_wanted(form)` to copy the call in a form of `COPIED_CALLS`; and `formatted_changed(on)`.
    """

    read_wanted = Signal(str)
    save_wanted = Signal(str, object)
    copy_wanted = Signal(str)
    formatted_changed = Signal(bool)

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._result: CallResult | None = None
        self._raw_shown = self._waiting = False
        self._pictures = PictureLoader(bridge, self)
        self._added: list[Viewed] = []
        self._build()

    def _build(self) -> None:
        current = theme()
        self.status = StatusWord(role="strong")
        names = [self.tr("Content"), self.tr("Data"), self.tr("Raw"), self.tr("History")]
        self.tabs = TabStrip(names, self.tr("Result as"))
        self.tabs.currentChanged.connect(lambda _tab: self._show_tab())
        self.formatted = CheckBox(self.tr("Formatted"))
        self.formatted.setToolTip(self.tr("Show Markdown as headings, lists and tables"))
        self.formatted.toggled.connect(self._set_formatted)
        self.copy_button = IconButton(
            self.tr("Copy result or call"), "copy", keys="Ctrl+Shift+C", clicked=self.open_copy_menu
        )
        keys = QShortcut(QKeySequence("Ctrl+Shift+C"), self, self.open_copy_menu)
        keys.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        state = QWidget()
        line = QHBoxLayout(state)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(current.px(tokens.SPACE_3))
        line.addWidget(Text(self.tr("Result"), "section"))
        line.addWidget(self.status)
        # What does not fit beside the rest goes below it.
        head_widget = QWidget()
        head = FlowLayout(head_widget)
        head.setSpacing(current.px(tokens.SPACE_3))
        for part in (state, self.copy_button, self.formatted, self.tabs):
            part.setMinimumHeight(current.px(tokens.CONTROL))
            head.addWidget(part)
        beside = QVBoxLayout()
        beside.setContentsMargins(current.px(tokens.SPACE_4), current.px(tokens.SPACE_2), current.px(tokens.SPACE_4), 0)
        beside.addWidget(head_widget)
        self.card = InlineCard()
        # Says how the result breaks what the tool promises.
        self.promise = InlineCard()
        self.area = ViewedColumn(self.tr("Result"))
        self.data = DataPage()
        self.tree = self.data.tree
        self._raw_page = RawPage(self.save_wanted.emit)
        self.raw = self._raw_page.text
        self.history = HistoryPage()
        self.stack = ScrollingPages(LOWEST_PAGE)
        for page in (self.area, self.data, self._raw_page, self.history):
            self.stack.addWidget(page)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(tokens.SPACE_2))
        box.addLayout(beside)
        body = QVBoxLayout()
        wide = current.px(tokens.SPACE_4)
        body.setContentsMargins(wide, 0, wide, current.px(tokens.SPACE_3))
        body.setSpacing(current.px(tokens.SPACE_2))
        # The card is about the call that is shown, not about earlier ones.
        self._about = QWidget()
        about = QVBoxLayout(self._about)
        about.setContentsMargins(0, 0, 0, 0)
        about.setSpacing(current.px(tokens.SPACE_2))
        about.addWidget(self.card)
        about.addWidget(self.promise)
        body.addWidget(self._about)
        body.addWidget(self.stack, 1)
        # Takes the room of the stack while that is hidden, so that a card stays at the top.
        self._spare = QWidget()
        body.addWidget(self._spare, 1)
        box.addLayout(body, 1)
        self._set_body(shown=False)

    def minimumSizeHint(self) -> QSize:
        # In a low window the form above gives way, or the answer would be out of view.
        hint = super().minimumSizeHint()
        return QSize(hint.width(), max(hint.height(), theme().px(LOWEST)))

    def show_result(self, result: CallResult, output_schema: dict[str, Any] | None = None) -> None:
        """Show a tool's result, which may be one that the tool calls an error.

        `output_schema` is what the tool promises of its structured content.
        """
        # Showing the same result again would lose the chosen tab and the scroll position.
        if result is self._result and self.stack.isVisibleTo(self):
            return
        self._result, self._raw_shown = result, False
        self._added.clear()
        self._pictures.start()
        self.status.set_state(
            call_state(CallState.TOOL_ERROR if result.is_error else CallState.DONE), duration(result.seconds)
        )
        self._show_error(result)
        self.tabs.setTabText(CONTENT, _holds(result.blocks))
        self.formatted.setVisible(_has_markdown(result.blocks))
        self._fill_blocks(result)
        self._raw_page.clear()
        self.data.show_data(Exact())
        has_data = result.structured is not None
        self._set_body(shown=True)
        self.tabs.setTabVisible(DATA, has_data)
        self.tabs.setCurrentIndex(DATA if not result.blocks and has_data else CONTENT)
        self._show_tab()
        self._read_data(result)
        self.promise.clear()
        # What a tool promises holds for its results, not for its errors (MCP, "Output Schema").
        if output_schema is not None and not result.is_error:
            self._check_promise(result, output_schema)

    def set_waiting(self, waiting: bool) -> None:
        """Set whether the call that the next card is about waits for the sign-in."""
        self._waiting = waiting

    def set_formatted(self, on: bool) -> None:
        """Show Markdown as such, or as text, without emitting `formatted_changed`."""
        if on == self.formatted.isChecked():
            return
        self.formatted.blockSignals(True)
        self.formatted.setChecked(on)
        self.formatted.blockSignals(False)
        if self._result is not None:
            self._fill_blocks(self._result)

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
        self.promise.clear()
        if self._waiting:
            self.status.set_state(call_state(CallState.WAITING))
        else:
            took = duration(seconds) if seconds is not None else ""
            self.status.set_state(call_state(state) if state is not None else None, took)
        self.card.show_note(
            title[:LONGEST_PROBLEM], _beginning(cause), advice, actions, tone=tone, detail=_beginning(detail)
        )
        self.tabs.setTabText(CONTENT, self.tr("Outcome"))
        self._set_body(shown=False)
        # What does not fit into the card stands below it.
        long = [TextBlock(words) for words in (cause, detail) if len(words) > LONGEST_IN_CARD]
        self._pictures.start()
        self.area.set_parts([block_part(words, self._tools) for words in long])
        self._has_content = bool(long)
        self.tabs.setCurrentIndex(CONTENT)
        self._show_tab()

    def show_history(self) -> bool:
        """Show the earlier calls alone; False when there are none."""
        if not self.history.has_calls:
            return False
        self._result = None
        self.status.set_state(None)
        self.card.clear()
        self.promise.clear()
        self._set_body(shown=False)
        self.tabs.setTabVisible(CONTENT, False)
        self.tabs.setCurrentIndex(HISTORY)
        self._show_tab()
        return True

    def add_blocks(self, heading: str, blocks: Sequence[Block]) -> None:
        """Add the content of a linked resource below the rest."""
        words = revealed_name(heading)
        parts = [Viewed(lambda: Text(words, "caption", "muted", wrap=True, selectable=True), 20)]
        parts += [block_part(block, self._tools) for block in blocks]
        if not blocks:
            parts.append(Viewed(lambda: Text(self.tr("The resource is empty."), tone="muted"), 20))
        self._add(parts)

    def add_card(self, title: str, cause: str, actions: Sequence[Action]) -> None:
        """Say below the rest that a link could not be read."""

        def build() -> QWidget:
            card = InlineCard()
            card.show_note(title, cause, "", actions, tone="bad")
            return card

        self._add([Viewed(build, 90)])

    def block_widgets(self) -> list[QWidget]:
        """The widgets of the Content page that are built, for tests."""
        return self.area.built_widgets()

    def open_copy_menu(self) -> None:
        """Offer the forms in which the result and its call can be copied."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.data.add_copy_actions(menu)
        if self._result is not None:
            menu.addAction(self.tr("Copy result as text"), self.copy_text).setEnabled(bool(self._result.blocks))
            menu.addAction(self.tr("Copy result as JSON"), self.copy_json)
            menu.addSeparator()
        for form, words in COPIED_CALLS:
            menu.addAction(self.tr(words), partial(self.copy_wanted.emit, form))
        menu.popup(self.copy_button.mapToGlobal(self.copy_button.rect().bottomLeft()))
        menu.setActiveAction(menu.actions()[0])

    def copy_text(self) -> None:
        """Put the texts of the result on the clipboard, a blank line between two."""
        blocks = () if self._result is None else self._result.blocks
        texts = [block.text for block in blocks if isinstance(block, TextBlock | ResourceBlock) and block.text]
        texts += [block.uri for block in blocks if isinstance(block, LinkBlock)]
        QGuiApplication.clipboard().setText("\n\n".join(texts))

    def copy_json(self) -> None:
        """Put the answer on the clipboard as it was received."""
        if self._result is not None:
            QGuiApplication.clipboard().setText(_body_of(self._result).decode("utf-8", "replace"))

    @property
    def _tools(self) -> BlockTools:
        save, read = self.save_wanted.emit, self.read_wanted.emit
        return BlockTools(save, read, self._pictures, self.formatted.isChecked())

    def _add(self, parts: list[Viewed]) -> None:
        self._added += parts
        self.area.add_parts(parts)

    def _show_error(self, result: CallResult) -> None:
        if not result.is_error:
            self.card.clear()
            return
        told = bool(result.blocks) or result.structured is not None
        self.card.show_note(
            self.tr("The tool reports an error"),
            self.tr("What it says is below. The arguments are kept.")
            if told
            else self.tr("It does not say why. The arguments are kept."),
            tone="attention",
        )

    def _set_body(self, *, shown: bool) -> None:
        self._has_content = shown
        for tab in (DATA, RAW):
            self.tabs.setTabVisible(tab, shown)
        self.tabs.setTabVisible(CONTENT, True)
        if not shown:
            self.formatted.hide()

    def _fill_blocks(self, result: CallResult) -> None:
        tools = self._tools
        parts = [block_part(block, tools) for block in result.blocks]
        if not parts and not result.is_error:
            words = (
                self.tr("Done. The tool returned data only.")
                if result.structured is not None
                else self.tr("Done. The tool returned no content.")
            )
            parts = [Viewed(lambda: Text(words, tone="muted", wrap=True), 20)]
        self.area.set_parts(parts + self._added)

    def _set_formatted(self, on: bool) -> None:
        if self._result is not None:
            self._fill_blocks(self._result)
        self.formatted_changed.emit(on)

    def _read_data(self, result: CallResult) -> None:
        if not may_have_data(result):
            return

        def done(data: Exact) -> None:
            # Another result or a card may be in view by now.
            if result is self._result:
                self.data.show_data(data)
                self.tabs.setTabVisible(DATA, data.present and (data.value is not None or bool(result.message)))
                self._fit_tabs()

        if _size_of(result) <= OFF_LOOP_BYTES:
            done(exact_data(result))
        else:
            self.data.show_reading()
            self._bridge.spawn(self, asyncio.to_thread(exact_data, result), done=done, key="data")

    def _check_promise(self, result: CallResult, output_schema: dict[str, Any]) -> None:
        title = self.tr("The result is not what the tool promises")
        if "structuredContent" not in result.raw:
            words = self.tr("Its outputSchema describes structured content, and the answer has none.")
            self.promise.show_note(title, words, tone="attention")
            return

        def done(problems: tuple[FieldProblem, ...]) -> None:
            # Another result or a card may be in view by now.
            if problems and result is self._result:
                lines = [": ".join(part for part in (problem.path, problem.message) if part) for problem in problems]
                words = self.tr("Its structured content does not match the outputSchema.")
                shown = "\n".join(revealed(line[:LONGEST_PROBLEM]) for line in lines)
                self.promise.show_note(title, words, tone="attention", detail=shown)

        self._bridge.spawn(self, asyncio.to_thread(_mismatch, output_schema, result), done=done, key="promise")

    def _show_tab(self) -> None:
        tab = max(self.tabs.currentIndex(), 0)
        self._fit_tabs()
        self.stack.setCurrentIndex(tab)
        shown = self._has_content or tab == HISTORY
        self.stack.setVisible(shown)
        self._spare.setVisible(not shown)
        self._about.setVisible(tab != HISTORY)
        if tab == RAW and self._result is not None and not self._raw_shown:
            self._show_raw(self._result)

    def _fit_tabs(self) -> None:
        # Qt places the tabs again for a text, but not when one appears or goes.
        self.tabs.setTabText(CONTENT, self.tabs.tabText(CONTENT))
        self.tabs.updateGeometry()

    def _show_raw(self, result: CallResult) -> None:
        self._raw_shown = True
        if result.message or _size_of(result) <= OFF_LOOP_BYTES:
            self._raw_page.show_body(_body_of(result), exact=bool(result.message))
            return

        def done(body: bytes) -> None:
            if result is self._result:
                self._raw_page.show_body(body, exact=False)

        self._bridge.spawn(self, asyncio.to_thread(_body_of, result), done=done, key="raw")


def _beginning(words: str) -> str:
    return revealed(words[:LONGEST_IN_CARD]) + ("…" if len(words) > LONGEST_IN_CARD else "")


def _mismatch(output_schema: dict[str, Any], result: CallResult) -> tuple[FieldProblem, ...]:
    return mismatch(output_schema, exact_data(result).value)


def _body_of(result: CallResult) -> bytes:
    """The message that held the result; where its bytes are not known, its value as JSON."""
    if result.message:
        return result.message
    return encoded(written(result.raw))


def _holds(blocks: Sequence[Block]) -> str:
    """What the content of a result is called."""
    from app.ui.servers.wording import tr

    kinds = {type(block) for block in blocks}
    if kinds == {TextBlock}:
        return tr("Text")
    if kinds == {ImageBlock}:
        return tr("Picture") if len(blocks) == 1 else tr("Pictures")
    if kinds == {AudioBlock}:
        return tr("Audio")
    if kinds == {LinkBlock}:
        return tr("Link") if len(blocks) == 1 else tr("Links")
    return tr("Content")


def _has_markdown(blocks: Sequence[Block]) -> bool:
    # Looking at thousands of texts would take time, and a result says soon whether it is prose.
    texts = [block.text for block in blocks[:20] if isinstance(block, TextBlock | ResourceBlock) and block.text]
    return any(looks_like_markdown(text) for text in texts)


def _size_of(result: CallResult) -> int:
    """About how large the answer is as JSON, without making the JSON."""
    if result.message:
        return len(result.message)
    total = 100 * len(result.blocks)
    for block in result.blocks:
        match block:
            case TextBlock(text=text) | ResourceBlock(text=str(text)):
                total += len(text)
            case ImageBlock(data=data) | AudioBlock(data=data) | ResourceBlock(blob=bytes(data)):
                total += len(data)
    return total
