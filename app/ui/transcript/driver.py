"""ConversationDriver: connects a page with the conversation of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QMenu

from app.core.runs.answers import trusting_mode
from app.marks import revealed_name
from app.ui.bridge import Generation
from app.ui.transcript.header import usage_words
from app.ui.transcript.run_notice import noticing

T = TypeVar("T")

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from app.core.errors import BurrowError
    from app.core.posthog.types import TaskRun
    from app.core.runs.items import ConfigOption, Permission, PermissionOption, SessionState
    from app.ui.bridge import Bridge
    from app.ui.transcript.answers import RunAnswer
    from app.ui.transcript.conversation import RunConversation
    from app.ui.transcript.header import HeaderFacts
    from app.ui.transcript.page import TranscriptPage
    from app.ui.widgets.context_menu import ContextMenu


class ConversationDriver(QObject):
    """Call `show` with another conversation, or None. `describe` makes the facts of the head.

    What was begun for a conversation goes on when another one is shown. `sent(RunConversation)`: a message was taken.
    """

    sent = Signal(object)

    def __init__(
        self,
        page: TranscriptPage,
        bridge: Bridge,
        describe: Callable[[TaskRun, SessionState], HeaderFacts],
        parent: QObject | None = None,
        *,
        withheld: Callable[[str], bool] = lambda _mode: False,
    ) -> None:
        """`withheld` says which modes are not offered now."""
        super().__init__(parent or page)
        self._page, self._bridge, self._describe = page, bridge, describe
        self._generation = Generation(bridge, self)
        self._conversation: RunConversation | None = None
        page.state_changed.connect(lambda _state: self._update())
        page.header.stop_wanted.connect(self._stop)
        page.menu_filled.connect(self._fill_menu)
        page.connection.again_wanted.connect(self._try_now)
        page.ask.mode_of, page.ask.withheld = self._mode_of, withheld
        self._withheld = withheld
        page.ask.answered.connect(self._answer)
        page.ask.dismissed.connect(self._dismiss)
        page.queued.remove_wanted.connect(self._remove)
        page.queued.edit_wanted.connect(self._edit)
        page.queued.now_wanted.connect(self._send_now)
        page.queued.again_wanted.connect(self._send_again)
        page.reply.send_wanted.connect(self._send)
        page.notice.wanted.connect(self._act)

    @property
    def conversation(self) -> RunConversation | None:
        """What is shown."""
        return self._conversation

    def show(self, conversation: RunConversation | None) -> None:
        """Show another conversation. What is under way for the former one goes on there."""
        if conversation is self._conversation:
            return
        self._generation.renew()
        self._conversation = conversation
        self._page.talk.setVisible(conversation is not None)
        self._page.reply.set_busy(False)
        if conversation is None:
            self._page.header.show_facts(None)
            self._page.show_run(None)
            return
        self._page.reply.card.clear()
        self._generation.listen(conversation.changed, lambda _none: self._update())
        self._page.connection.begin()
        self._page.show_connection(conversation.connection)
        self._page.show_run(conversation.transcript)
        self._update()

    def show_loading(self) -> None:
        """Another conversation follows."""
        self.show(None)
        self._page.show_loading()

    def _update(self) -> None:
        conversation, page = self._conversation, self._page
        if conversation is None:
            return
        run, state = conversation.run, conversation.transcript.state
        page.show_facts(self._describe(run, state))
        page.show_connection(conversation.connection)
        steers = conversation.steers and state.busy
        page.show_queued(conversation.queued, hold=conversation.hold, steers=steers)
        page.header.show_stopping(conversation.stopping)
        page.reply.show_turn(busy=state.busy and not run.finished, steers=conversation.steers)
        page.reply.show_ended(run.finished)
        page.reply.show_files_box(conversation.takes_files)
        local = noticing(conversation)
        page.notice.show_notice(None if local is None else local.notice, () if local is None else local.actions)

    def _do(
        self,
        work: Coroutine[Any, Any, T],
        failed: Callable[[BurrowError], object],
        key: str,
        done: Callable[[T], object] = lambda _result: None,
    ) -> None:
        """Do something for the conversation in view. Its outcome is shown while that is in view."""
        conversation = self._conversation

        def fail(error: BurrowError) -> None:
            if conversation is self._conversation:
                failed(error)

        def finish(result: T) -> None:
            if conversation is self._conversation:
                done(result)

        self._bridge.spawn(self, work, done=finish, failed=fail, key=f"{id(conversation)} {key}")

    def _stop(self) -> None:
        if self._conversation is not None:
            self._do(self._conversation.stop_turn(), self._page.reply.show_trouble, "stop")

    def _act(self, action: str) -> None:
        local = noticing(self._conversation)
        if local is not None:
            self._do(local.act(action), self._page.reply.show_trouble, f"act {action}")

    def _end(self) -> None:
        if self._conversation is not None:
            self._do(self._conversation.end(), self._page.reply.show_trouble, "end")

    def _try_now(self) -> None:
        if self._conversation is not None:
            self._conversation.try_now()

    def _answer(self, answer: RunAnswer) -> None:
        if self._conversation is not None:
            self._do(self._conversation.answer(answer), self._page.ask.show_error, "answer")

    def _mode_of(self, permission: Permission, option: PermissionOption) -> str:
        """The mode that an answer sets besides, in words; empty for none."""
        if self._conversation is None:
            return ""
        state = self._conversation.transcript.state
        setting, mode = trusting_mode(permission, option.option_id, self._conversation.run, state)
        offered = next((each for each in state.options if each.id == setting), None)
        choices = offered.choices if offered is not None else ()
        return revealed_name(next((each.name for each in choices if each.value == mode), mode)[:80])

    def _dismiss(self, permission: Permission) -> None:
        if self._conversation is not None:
            self._do(self._conversation.dismiss(permission), self._page.ask.show_error, "answer")

    def _remove(self, queued_id: str) -> None:
        if self._conversation is not None:
            self._do(self._conversation.remove(queued_id), self._page.reply.show_trouble, f"queued {queued_id}")

    def _edit(self, queued_id: str) -> None:
        """Take a message out of the queue, back into the field, in front of what is typed there."""
        if self._conversation is not None:
            work, reply = self._conversation.remove(queued_id), self._page.reply
            self._do(work, reply.show_trouble, f"queued {queued_id}", reply.take_back)

    def _send_now(self, queued_id: str) -> None:
        if self._conversation is not None:
            self._do(self._conversation.send_now(queued_id), self._page.reply.show_trouble, f"queued {queued_id}")

    def _send_again(self, queued_id: str) -> None:
        if self._conversation is not None:
            self._do(self._conversation.send_again(queued_id), self._page.reply.show_trouble, f"queued {queued_id}")

    def _send(self, text: str, now: bool) -> None:
        conversation = self._conversation
        if conversation is None:
            return
        reply = self._page.reply
        files = reply.files
        reply.set_busy(True)

        async def send() -> None:
            await conversation.send(text, files, now=now)
            self.sent.emit(conversation)

        self._do(send(), reply.show_error, "send", lambda _none: reply.sent(text, files))

    def _fill_menu(self, menu: ContextMenu) -> None:
        conversation = self._conversation
        if conversation is None:
            return
        state = conversation.transcript.state
        menu.addSeparator()
        for option in state.options:
            self._add_option(menu, option, enabled=not conversation.run.finished)
        words = usage_words(state.usage)
        if words:
            menu.add(words, lambda: None, enabled=False)
        if not conversation.run.finished:
            menu.addSeparator()
            menu.add(self.tr("End this run"), self._end)

    def _add_option(self, menu: ContextMenu, option: ConfigOption, *, enabled: bool) -> None:
        """A setting with its choices; the one in force is checked."""
        name = revealed_name((option.name or option.id)[:80]).replace("&", "&&")
        current = next((choice.name for choice in option.choices if choice.value == option.value), option.value)
        inner = QMenu(f"{name}: {revealed_name(current[:60])}".replace("&", "&&"), menu)
        for choice in option.choices:
            if self._withheld(choice.value) and choice.value != option.value:
                continue
            entry = inner.addAction(revealed_name((choice.name or choice.value)[:120]).replace("&", "&&"))
            entry.setCheckable(True)
            entry.setChecked(choice.value == option.value)
            entry.triggered.connect(
                lambda _on=False, option=option, value=choice.value: self._set_option(option.id, value)
            )
        inner.setEnabled(enabled and bool(option.choices))
        menu.addMenu(inner)

    def _set_option(self, option_id: str, value: str) -> None:
        if self._conversation is not None:
            work = self._conversation.set_option(option_id, value)
            self._do(work, self._page.reply.show_trouble, f"option {option_id}")
