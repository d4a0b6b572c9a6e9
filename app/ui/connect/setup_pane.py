"""How to set a client up: the snippet with its key, the file that it can be added to, and the test."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from app.ui.connect.facts import ProxyPhase
from app.ui.connect.file_page import FilePage
from app.ui.connect.steps import TestSteps
from app.ui.connect.wording import ClientState, proxy_sentence
from app.ui.theme import theme, tokens
from app.ui.theme.state import State
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.choices import Segmented
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.exact_text import ExactText
from app.ui.widgets.feedback import InlineCard
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.focus_chain import anchor_of, order_after
from app.ui.widgets.text import StatusWord, Text

if TYPE_CHECKING:
    from app.core.errors import BurrowError
    from app.ui.connect.controller import ConnectController
    from app.ui.connect.facts import ClientFacts, FilePreview, SnippetFacts
    from app.ui.widgets.feedback import Action

SNIPPET, FILE = range(2)


class SetupPane(QStackedWidget):
    """Emits `copied(text)` and `key_wanted()` when a new key is asked for."""

    copied = Signal(str)
    key_wanted = Signal()

    def __init__(self, controller: ConnectController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._client: ClientFacts | None = None
        self._snippets: tuple[SnippetFacts, ...] = ()
        self._chosen = ""
        self._asked: tuple[object, ...] = ()
        self._said: tuple[str, ...] = ()
        self._focus_wanted = False
        self.area = self._build()
        self.file = FilePage()
        self.file.left.connect(self._leave_file)
        self.file.write_wanted.connect(self._write)
        self.file.again_wanted.connect(self.show_file)
        self.addWidget(self.area)
        self.addWidget(self.file)
        controller.key_changed.connect(self._key_changed)

    @property
    def snippet(self) -> SnippetFacts | None:
        """The way in view."""
        return next((each for each in self._snippets if each.id == self._chosen), next(iter(self._snippets), None))

    def show_client(self, client: ClientFacts, state: ClientState) -> None:
        """Show how to set a client up, and what keeps it from working."""
        other = self._client is None or self._client.id != client.id
        self._client = client
        if other:
            self._chosen, self._snippets, self._asked = "", (), ()
            self.steps.clear()
            self.card.clear()
            self.setCurrentIndex(SNIPPET)
            self.text.set_source("", 0)
        self._show_trouble(state)
        self._load()

    def focus_copy(self) -> None:
        """Put the focus on the button that copies, once there is something to copy."""
        self._focus_wanted = True

    def copy(self) -> None:
        """Copy the snippet."""
        if self.snippet is not None:
            self.copied.emit(self.snippet.text)

    def show_file(self) -> None:
        """Show what adding the snippet to its file would change."""
        client, snippet, controller = self._client, self.snippet, self._controller
        if client is None or snippet is None or not snippet.files:
            return
        file = self.file.chosen(snippet.files)
        self.file.show_loading(snippet.files, file)
        self.setCurrentIndex(FILE)
        controller.bridge.spawn(
            self,
            controller.door.preview(client.id, snippet.id, controller.key_of(client.id), file),
            done=self.file.show_preview,
            failed=self.file.show_error,
            key="preview",
        )

    def run_test(self) -> None:
        """Try the client, step by step."""
        client, controller = self._client, self._controller
        if client is None or self.steps.running:
            return
        self.setCurrentIndex(SNIPPET)
        self.steps.start()
        self.test_button.setText(self.tr("Testing…"))

        async def run() -> None:
            async for step in controller.door.test(client.id, controller.key_of(client.id)):
                self.steps.show_step(step)
                # Its place is known once the layouts have run.
                QTimer.singleShot(0, self, self._bring_steps)

        controller.bridge.spawn(self, run(), done=lambda _: self._tested(), failed=self._test_failed, key="test")

    def stop(self) -> None:
        """Another client is shown: what was begun for this one is dropped."""
        self._controller.bridge.cancel(self, "test")
        self._controller.bridge.cancel(self, "preview")
        self._end_test()

    def _build(self) -> ScrollColumn:
        area = ScrollColumn(self.tr("Set up"), side=tokens.SPACE_4, top=tokens.SPACE_2)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.box.setSpacing(theme().px(tokens.SPACE_3))
        self.trouble = InlineCard()
        self.card = InlineCard()
        self.ways = Segmented([], self.tr("How the program reaches the proxy"))
        self._ways_room = QVBoxLayout()
        self.advice = Text("", wrap=True, selectable=True)
        # Before the text, which may be long.
        self.copy_button = PrimaryButton(self.tr("Copy"), "copy", clicked=self.copy)
        self.copy_button.setAccessibleName(self.tr("Copy the snippet"))
        self.file_button = QuietButton(self.tr("Add to file…"), "document", clicked=self.show_file)
        self.test_button = QuietButton(self.tr("Test"), "play", clicked=self.run_test)
        self.key_button = QuietButton(self.tr("Make a new key…"), "key", clicked=self.key_wanted.emit)
        self.key_state = StatusWord()
        self.key_words = Text("", tone="muted", wrap=True)
        self.text = ExactText(self.tr("Snippet"))
        self.reload = Text("", tone="muted", wrap=True, selectable=True)
        self.steps = TestSteps()
        buttons = FlowLayout()
        for button in (self.copy_button, self.file_button, self.test_button, self.key_button):
            buttons.addWidget(button)
        area.box.addWidget(self.trouble)
        area.box.addWidget(self.card)
        area.box.addLayout(self._ways_room)
        area.box.addWidget(self.advice)
        area.box.addLayout(buttons)
        area.box.addWidget(self._stacked(self.key_state, self.key_words))
        area.box.addWidget(self.text)
        area.box.addWidget(self.reload)
        area.box.addWidget(self.steps)
        area.box.addStretch(1)
        return area

    def _stacked(self, *parts: QWidget) -> QWidget:
        whole = QWidget()
        box = QVBoxLayout(whole)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_1))
        for part in parts:
            box.addWidget(part)
        return whole

    def _show_trouble(self, state: ClientState) -> None:
        """Say what the user can do about a proxy that does not answer."""
        proxy, controller = self._controller.proxy, self._controller
        title, text = proxy_sentence(proxy)
        actions: list[Action] = [(self.tr("Try again"), controller.retry)]
        if proxy.phase is ProxyPhase.OFF:
            title, text = self.tr("The local proxy is off"), self.tr("Nothing answers at its address.")
            actions = [(self.tr("Switch on"), partial(controller.set_on, True))]
        unserved = {ClientState.PROXY_OFF, ClientState.PROXY_FAILED, ClientState.OTHER_PORT}
        shown = state in unserved and proxy.phase is not ProxyPhase.STARTING
        said = (title, text) if shown else ()
        # Said again, it would lose its button, and the focus that this may have.
        if said != self._said:
            self._said = said
            if said:
                self.trouble.show_note(title, text, actions=actions)
            else:
                self.trouble.clear()

    def _load(self) -> None:
        client, controller = self._client, self._controller
        if client is None:
            return
        key = controller.key_of(client.id)
        names = tuple((each.id, each.server.title) for each in controller.servers if client.may_use(each.id))
        # Made again only when something in it changes: a selection in the text stays.
        asked = (client.id, client.name, client.revoked, key, names, controller.proxy.address)
        if asked == self._asked:
            return
        self._asked = asked
        self.area.setEnabled(not client.revoked)
        controller.bridge.spawn(
            self, controller.door.snippets(client.id, key), done=self._loaded, failed=self._not_loaded, key="snippets"
        )

    def _loaded(self, snippets: tuple[SnippetFacts, ...]) -> None:
        self._snippets = snippets
        self._fill_ways()
        self._show()

    def _not_loaded(self, error: BurrowError) -> None:
        self._asked = ()
        self.card.show_error(error, [(self.tr("Try again"), self._load)])

    def _fill_ways(self) -> None:
        options = [(each.id, each.title, "", "accent") for each in self._snippets]
        former = self.ways
        self.ways = Segmented(options, self.tr("How the program reaches the proxy"))
        self.ways.set_value(self.snippet.id if self.snippet is not None else None)
        self.ways.chosen.connect(self._choose)
        self.ways.setVisible(False)
        before = anchor_of(self.copy_button)
        self._ways_room.addWidget(self.ways)
        if before is not None:
            order_after(before, [self.ways])
        self.ways.setVisible(len(options) > 1)
        former.hide()
        former.deleteLater()

    def _choose(self, way: str) -> None:
        self._chosen = way
        self._show()

    def _show(self) -> None:
        snippet, client = self.snippet, self._client
        if snippet is None or client is None:
            return
        self.card.clear()
        self.advice.setText(snippet.advice)
        if self.text.source != snippet.text:
            self.text.set_source(snippet.text, len(snippet.text))
        self.reload.setText(snippet.reload)
        self.reload.setVisible(bool(snippet.reload))
        self.file_button.setVisible(bool(snippet.files))
        known = self._controller.key_of(client.id) is not None
        usable = known or not snippet.keyed
        self.copy_button.set_main(usable)
        self.copy_button.setEnabled(usable)
        if self._focus_wanted:
            self._focus_wanted = False
            self.copy_button.setFocus(Qt.FocusReason.OtherFocusReason)
        self.file_button.setEnabled(usable)
        self.key_button.setVisible(snippet.keyed)
        self.key_state.setVisible(snippet.keyed)
        if known:
            self.key_state.set_state(State("key", self.tr("With its key"), "good"))
            self.key_words.setText(self.tr("The key is shown now and never again. Burrow keeps only its fingerprint."))
        else:
            self.key_state.set_state(State("lock", self.tr("Key hidden"), "muted"))
            self.key_words.setText(
                self.tr(
                    "The key was shown when it was made, and is not kept. What is set up goes on working. "
                    "For another snippet make a new key; the former one is refused from then on."
                )
            )
        self.key_state.setVisible(snippet.keyed)
        self.key_words.setVisible(snippet.keyed)

    def _key_changed(self, client_id: str) -> None:
        if self._client is not None and client_id == self._client.id:
            self._load()

    def _write(self, preview: FilePreview) -> None:
        controller = self._controller
        controller.bridge.spawn(
            self,
            controller.door.write(preview),
            done=lambda kept: self._written(preview, kept),
            failed=self.file.show_error,
            key="write",
        )

    def _written(self, preview: FilePreview, copy: str) -> None:
        self._leave_file()
        snippet = self.snippet
        kept = self.tr("The file as it was: {0}").format(copy) if copy else ""
        self.card.show_note(
            self.tr("Added to {0}").format(preview.path),
            kept,
            snippet.reload if snippet is not None else "",
            tone="good",
        )
        self.area.ensureWidgetVisible(self.card)
        self.test_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def _leave_file(self) -> None:
        self.setCurrentIndex(SNIPPET)
        self.file_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def _bring_steps(self) -> None:
        self.area.ensureWidgetVisible(self.steps, 0, 0)

    def _tested(self) -> None:
        self._end_test()

    def _test_failed(self, error: BurrowError) -> None:
        self._end_test()
        self.steps.show_error(error)

    def _end_test(self) -> None:
        self.steps.stop()
        self.test_button.setText(self.tr("Test"))
