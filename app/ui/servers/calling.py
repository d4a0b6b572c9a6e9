"""One tool being called by hand: its arguments, the call under way, and how the last one ended.

It outlives the page that shows it, so that looking at another tool neither ends a call nor loses its result.
"""

from __future__ import annotations

from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.core.auth.oauth.step_up import MissingScopes, StepUpOption
from app.core.auth.status import CANCELLED, REPLACED
from app.core.errors import BurrowError, PermissionMissing, PolicyRefused, SignInNeeded, TimedOut
from app.core.mcp.protocol.calls import CallCancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from app.core.auth.status import CredentialStatus
    from app.core.backend import Backend
    from app.core.mcp.forms.model import FormDraft
    from app.core.mcp.protocol.calls import ToolCall
    from app.core.mcp.results.blocks import CallResult, Progress
    from app.core.mcp.servers.server import Server
    from app.core.mcp.tools import ToolInfo
    from app.ui.bridge import Bridge

BLOCKED, ASK = "do_not_use", "needs_approval"
PERMISSION = "permission"


class Phase(Enum):
    """Where a call stands."""

    IDLE = "idle"
    ASKING = "asking"
    ALLOWING = "allowing"
    BLOCKED = "blocked"
    RUNNING = "running"
    QUIET = "quiet"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ToolSession(QObject):
    """`changed()` when the phase or the outcome did, `progressed()` while running; `resumed()` when a call that had
    waited for the sign-in has been answered.

    Everything here belongs to the account that it was opened for, and nothing is called for another one.
    """

    changed = Signal()
    progressed = Signal()
    resumed = Signal()

    def __init__(
        self, bridge: Bridge, backend: Backend, server: Server, tool: ToolInfo, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._bridge, self._backend = bridge, backend
        self._scope = backend.scope
        self.server, self.tool = server, tool
        self.draft: FormDraft | None = None
        self.json_text: str | None = None
        self.touched = False
        self.phase = Phase.IDLE
        self.arguments: dict[str, Any] | None = None
        self.result: CallResult | None = None
        self.error: BurrowError | None = None
        self.progress: Progress | None = None
        self.started = 0.0
        self.seconds = 0.0
        self.signed_in_again = False
        self.not_granted = False
        self.not_asked: BurrowError | None = None
        self._call: ToolCall | None = None
        self._repeated = False
        bridge.listen(self, backend.session.changed, self._session_changed)

    @property
    def running(self) -> bool:
        """Whether a call is under way, also one that has fallen silent."""
        return self.phase in {Phase.RUNNING, Phase.QUIET}

    @property
    def busy(self) -> bool:
        """Whether a call is under way, or waits for the person's browser."""
        return self.running or self.phase is Phase.ALLOWING

    @property
    def need(self) -> MissingScopes | None:
        """The permissions that the last call was refused for."""
        error = self.error
        if not isinstance(error, PermissionMissing) or not error.facts.scopes:
            return None
        return MissingScopes(self.server.url, self.tool.name, error.facts.scopes, self.server.at_stake)

    @property
    def help(self) -> StepUpOption:
        """Whether the person can help with what is missing."""
        return StepUpOption.NOT_OURS if self.need is None else self._backend.step_up.option_for(self.need)

    @property
    def granted(self) -> int:
        """How many permissions were granted so far."""
        return len(self._backend.step_up.granted)

    @property
    def waiting(self) -> bool:
        """Whether a call waits until somebody has signed in."""
        return self.phase is Phase.FAILED and isinstance(self.error, SignInNeeded) and not self.signed_in_again

    def ask(self, arguments: dict[str, Any]) -> None:
        """Call the tool if its policy lets a person do so; otherwise say what stands in the way."""
        if self.busy:
            return
        self.arguments = arguments
        self._repeated = self.signed_in_again = False
        if self.server.installation is not None and self.tool.policy in {ASK, BLOCKED}:
            self._end(Phase.BLOCKED if self.tool.policy == BLOCKED else Phase.ASKING)
            return
        self._start()

    def again(self) -> None:
        """Call it once more with the arguments of the last call."""
        if self.arguments is not None:
            self.ask(self.arguments)

    def allowed(self) -> None:
        """The person allowed the tool: go on with the call that asked."""
        if self.phase is Phase.ASKING and self.arguments is not None:
            self._start()

    def permit(self, browser: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        """Have `browser` ask the person for what is missing; the call that was refused then runs by itself."""
        need = self.need
        if need is None or self.busy:
            return
        self.not_granted, self.not_asked = False, None
        self._bridge.spawn(
            self, self._backend.step_up.ask(need, browser), done=self._permitted, failed=self._not_asked, key=PERMISSION
        )
        self._end(Phase.ALLOWING)

    def dismiss(self) -> None:
        """Leave the question unanswered; the arguments stay."""
        if not self.busy:
            self._end(Phase.IDLE)

    def cancel(self) -> None:
        """End the call under way, or the wait for the person's browser."""
        if self.phase is Phase.ALLOWING:
            self._bridge.cancel(self, PERMISSION)
            self._end(Phase.FAILED)
        elif self._call is not None and self.running:
            self._call.cancel()
            if self.phase is Phase.QUIET:
                self._wait()

    def keep_waiting(self) -> None:
        """After a silence: wait on."""
        if self._call is not None and self.phase is Phase.QUIET:
            self.phase, self.error = Phase.RUNNING, None
            self._wait()
            self.changed.emit()

    def close(self) -> None:
        """End everything; nothing is told any more."""
        if self._call is not None and self.running:
            self._call.cancel()
        self._bridge.cancel(self)
        self.blockSignals(True)
        self.deleteLater()

    def _start(self) -> None:
        assert self.arguments is not None
        if self._backend.scope != self._scope:
            return
        self.result = self.error = self.progress = None
        self.signed_in_again = self.not_granted = False
        self.not_asked = None
        self.started = monotonic()
        self.phase = Phase.RUNNING
        self._call = self._backend.servers.start_call(self.server.id, self.tool, self.arguments)
        self._bridge.listen(self, self._call.progress, self._heard(self._call))
        self._wait()
        self.changed.emit()

    def _heard(self, call: ToolCall) -> Callable[[Progress], None]:
        def heard(progress: Progress) -> None:
            if call is self._call and self.running:
                self.progress = progress
                if self.phase is Phase.QUIET:
                    self.keep_waiting()
                self.progressed.emit()

        return heard

    def _wait(self) -> None:
        assert self._call is not None
        self._bridge.spawn(self, self._call.result(), done=self._answered, failed=self._failed)

    def _answered(self, result: CallResult) -> None:
        self.result, self.error = result, None
        self.seconds = result.seconds
        self._call = None
        self._end(Phase.DONE)
        if self._repeated:
            self.resumed.emit()

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, BurrowError):
            self._call, self.error = None, None
            self._end(Phase.IDLE)
            raise error
        self.error = error
        self.seconds = monotonic() - self.started
        if isinstance(error, TimedOut) and error.facts.code == "silence":
            self._end(Phase.QUIET)
            return
        self._call = None
        if isinstance(error, CallCancelled):
            self._end(Phase.CANCELLED)
        elif isinstance(error, PolicyRefused) and error.facts.code == "-32001":
            self._end(Phase.ASKING)
        else:
            self._end(Phase.FAILED)
            if error.facts.code == REPLACED:
                # Somebody has signed in already, in another window: nothing else will tell.
                self._session_changed(self._backend.session.status)

    def _permitted(self, granted: bool) -> None:
        self.not_granted = not granted
        if granted:
            # It was refused before the tool ran (RFC 6750 section 3.1): even what must not run twice runs once.
            self._start()
        else:
            self._end(Phase.FAILED)

    def _not_asked(self, error: BaseException) -> None:
        if not isinstance(error, BurrowError):
            self._end(Phase.FAILED)
            raise error
        self.not_asked = None if error.facts.code == CANCELLED else error
        self._end(Phase.FAILED)

    def _end(self, phase: Phase) -> None:
        self.phase = phase
        self.changed.emit()

    def _session_changed(self, status: CredentialStatus) -> None:
        if status.state.name != "SIGNED_IN" or not self.waiting or self.arguments is None:
            return
        if self.tool.annotations.read_only is True and not self._repeated:
            self._repeated = True
            self._start()
        else:
            self.signed_in_again = True
            self.changed.emit()
