"""A tool that is called by hand: its arguments, the running call, and the outcome of the last one.

It outlives its place on the page, so that showing another tool neither ends a call nor loses its result.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from app.core.auth.oauth.step_up import MissingScopes, StepUpOption
from app.core.auth.status import CANCELLED, REPLACED, CredentialState
from app.core.errors import PermissionMissing, PolicyRefused, SignInNeeded, TimedOut
from app.core.mcp.protocol.calls import CallCancelled
from app.core.mcp.servers.definitions import HttpServer
from app.ui.servers.policy import Policy
from app.ui.servers.wording import is_own

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from app.core.auth.oauth.step_up import StepUp
    from app.core.errors import BurrowError
    from app.core.mcp.forms.model import FormDraft
    from app.core.mcp.protocol.calls import RunningCall
    from app.core.mcp.results.blocks import CallResult, Progress
    from app.core.mcp.servers.server import Server
    from app.core.mcp.tools import ToolInfo
    from app.core.services import Services
    from app.core.sign_ins import SignIn
    from app.core.storage import Draft, Scope
    from app.ui.bridge import Bridge

PERMISSION = "permission"


class CallPhase(Enum):
    """The phase of a call."""

    IDLE = "idle"
    # The policy is Ask: the person has to allow the tool, or this call of it, first.
    ASKING = "asking"
    # The tool says that it may destroy something: the person has to agree to this call first.
    CONFIRMING = "confirming"
    # A permission is missing, and the browser asks for it.
    ALLOWING = "allowing"
    BLOCKED = "blocked"
    RUNNING = "running"
    # Running, without a sign of life for a minute.
    QUIET = "quiet"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ToolSession(QObject):
    """`changed()` when phase or outcome changed, `progressed()` while running, `resumed()` when a call that had waited
    for the sign-in was answered, `storable_changed()` with `storable`.

    A session of a server of an account belongs to the account it was opened for. It never calls for another one. A call
    waits for the sign-in that its error names, of the account or of the server itself.
    """

    changed = Signal()
    progressed = Signal()
    resumed = Signal()
    storable_changed = Signal()

    def __init__(
        self, bridge: Bridge, services: Services, server: Server, tool: ToolInfo, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._bridge, self._services = bridge, services
        self._backend = None if is_own(server) else services.backend
        self._scope = None if self._backend is None else self._backend.scope
        self.server, self.tool = server, tool
        self.draft: FormDraft | None = None
        self.json_text: str | None = None
        self.touched = False
        # What another window left behind of this tool's arguments.
        self.other: Draft | None = None
        # Whether the storage can keep the arguments.
        self.storable = True
        self.phase = CallPhase.IDLE
        self.arguments: dict[str, Any] | None = None
        self.result: CallResult | None = None
        self.error: BurrowError | None = None
        self.progress: Progress | None = None
        self.started = 0.0
        self.seconds = 0.0
        self.signed_in_again = False
        self.not_granted = False
        self.not_asked: BurrowError | None = None
        self._call: RunningCall | None = None
        # What the person has agreed to for the call with these arguments: to make it, and to allow the tool for it.
        self._agreed = self._once = False
        # Whether the call was repeated after a sign-in without asking. That happens once for each `ask`, so a server
        # that refuses every token does not make the session call for ever.
        self._repeated = False
        bridge.listen(self, services.sign_ins.changed, lambda _nothing: self._sign_in_changed())

    @property
    def scope(self) -> Scope | None:
        """The account that the session was opened for; None for a server of the user's own."""
        return self._scope

    def set_storable(self, storable: bool) -> None:
        """Say whether the storage can keep the arguments."""
        if storable != self.storable:
            self.storable = storable
            self.storable_changed.emit()

    @property
    def running(self) -> bool:
        """Whether a call is running, including one that has not answered for long."""
        return self.phase in {CallPhase.RUNNING, CallPhase.QUIET}

    @property
    def busy(self) -> bool:
        """Whether a call is running or waits for the browser."""
        return self.running or self.phase is CallPhase.ALLOWING

    @property
    def asks(self) -> bool:
        """Whether a call waits for the person's answer."""
        return self.phase in {CallPhase.ASKING, CallPhase.CONFIRMING}

    @property
    def need(self) -> MissingScopes | None:
        """The permissions that the last call lacked."""
        error = self.error
        if not isinstance(error, PermissionMissing) or not error.facts.scopes:
            return None
        return MissingScopes(self.server.url, self.tool.name, error.facts.scopes, self.server.at_stake)

    @property
    def help(self) -> StepUpOption:
        """Whether the person can grant what is missing."""
        step_up = self._step_up
        return StepUpOption.NOT_OURS if self.need is None or step_up is None else step_up.option_for(self.need)

    @property
    def granted(self) -> int:
        """How many permissions were granted so far."""
        return 0 if self._step_up is None else len(self._step_up.granted)

    @property
    def waiting(self) -> bool:
        """Whether a call waits for the sign-in."""
        return self.phase is CallPhase.FAILED and isinstance(self.error, SignInNeeded) and not self.signed_in_again

    @property
    def waits_for(self) -> SignIn | None:
        """The sign-in that the call waits for."""
        if not self.waiting or self.error is None:
            return None
        named, sign_ins = self.error.facts.credential, self._services.sign_ins
        if named is not None:
            return sign_ins.of(named)
        # An error that names none is about who is signed in to the host.
        return next((sign_in for sign_in in sign_ins.all if sign_in.server_id is None), None)

    @property
    def _step_up(self) -> StepUp | None:
        definition = self.server.definition
        if isinstance(definition, HttpServer):
            return self._services.own_servers.step_up_of(definition)
        return None if self._backend is None else self._backend.step_up

    def ask(self, arguments: dict[str, Any]) -> None:
        """Call the tool if its policy allows that and it does not claim to destroy, else ask or say why not."""
        if self.busy:
            return
        self.arguments = arguments
        self._repeated = self.signed_in_again = self._agreed = self._once = False
        self._start_if_agreed()

    def again(self) -> None:
        """Repeat the last call, as a new one: what has to be asked is asked again."""
        if self.arguments is not None:
            self.ask(self.arguments)

    def resume(self) -> None:
        """Make the call that was kept. What the person agreed to for it still holds."""
        if self.arguments is not None and not self.busy:
            self._start_if_agreed()

    def agree(self) -> None:
        """The person agreed to the call that says it may destroy something."""
        if self.phase is CallPhase.CONFIRMING:
            self._agreed = True
            self._start_if_agreed()

    def run_once(self) -> None:
        """The person allowed the tool for the call that asked."""
        if self.phase is CallPhase.ASKING:
            self._agreed = self._once = True
            self._start()

    def allowed(self) -> None:
        """The person allowed the tool: make the call that asked."""
        if self.phase is CallPhase.ASKING and self.arguments is not None:
            self._agreed = True
            self._start()

    def _start_if_agreed(self) -> None:
        # The store's proxy enforces it (docs/wire.md, "Installation proxy"), for other servers the services do. Looking
        # at it here saves a call that is sure to be refused.
        policy = self.tool.policy
        if policy == Policy.BLOCK:
            self._end(CallPhase.BLOCKED)
        elif policy == Policy.ASK and not self._once:
            self._end(CallPhase.ASKING)
        elif self.tool.annotations.may_destroy and not self._agreed:
            self._end(CallPhase.CONFIRMING)
        else:
            self._start()

    def permit(self, browser: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        """Have `browser` ask for the missing permissions, then make the call that was refused."""
        need, step_up = self.need, self._step_up
        if need is None or step_up is None or self.busy:
            return
        self.not_granted, self.not_asked = False, None
        self._bridge.spawn(
            self, step_up.ask(need, browser), done=self._permitted, failed=self._not_asked, key=PERMISSION
        )
        self._end(CallPhase.ALLOWING)

    def dismiss(self) -> None:
        """Close the question. The arguments are kept."""
        if not self.busy:
            self._end(CallPhase.IDLE)

    def cancel(self) -> None:
        """Cancel the running call, or stop waiting for the browser."""
        if self.phase is CallPhase.ALLOWING:
            self._bridge.cancel(self, PERMISSION)
            self._end(CallPhase.FAILED)
        elif self._call is not None and self.running:
            self._call.cancel()

    def keep_waiting(self) -> None:
        """Keep waiting for a call that has not answered for long."""
        if self._call is not None and self.phase is CallPhase.QUIET:
            self.phase, self.error = CallPhase.RUNNING, None
            self._wait()
            self.changed.emit()

    def close(self) -> None:
        """Cancel everything and emit nothing from here on."""
        if self._call is not None and self.running:
            self._call.cancel()
        self._bridge.cancel(self)
        self.blockSignals(True)
        self.deleteLater()

    def _start(self) -> None:
        assert self.arguments is not None
        # Somebody else may have signed in meanwhile. Their account must not run this person's call.
        if self._backend is not None and self._backend.scope != self._scope:
            return
        self.result = self.error = self.progress = None
        self.signed_in_again = self.not_granted = False
        self.not_asked = None
        self.started = monotonic()
        self.phase = CallPhase.RUNNING
        self._call = self._services.servers.start_call(self.server.id, self.tool, self.arguments, once=self._once)
        self._bridge.listen(self, self._call.progress, self._heard(self._call))
        self._wait()
        self.changed.emit()

    def _heard(self, call: RunningCall) -> Callable[[Progress], None]:
        def heard(progress: Progress) -> None:
            # A listener lives as long as the session, so an earlier call can still report.
            if call is self._call and self.running:
                self.progress = progress
                if self.phase is CallPhase.QUIET:
                    self.keep_waiting()
                self.progressed.emit()

        return heard

    def _wait(self) -> None:
        assert self._call is not None
        self._bridge.spawn(self, self._call.result(), done=self._answered, failed=self._failed)

    def _follow_quiet(self) -> None:
        """Show the outcome of a call that has not answered for long when it comes, although nobody keeps waiting."""
        call = self._call
        assert call is not None

        def ended(_nothing: object) -> None:
            if call is self._call and self.phase is CallPhase.QUIET:
                self._wait()

        self._bridge.spawn(self, asyncio.wait({call.task}), done=ended, key="quiet")

    def _answered(self, result: CallResult) -> None:
        self.result, self.error = result, None
        self.seconds = result.seconds
        self._call = None
        self._end(CallPhase.DONE)
        if self._repeated:
            self.resumed.emit()

    def _failed(self, error: BurrowError) -> None:
        self.error = error
        self.seconds = monotonic() - self.started
        if isinstance(error, TimedOut) and error.facts.code == "silence":
            # The call still runs (`RunningCall.result`), so it is kept for `keep_waiting` and `cancel`.
            self._end(CallPhase.QUIET)
            self._follow_quiet()
            return
        self._call = None
        if isinstance(error, CallCancelled):
            self._end(CallPhase.CANCELLED)
        elif isinstance(error, PolicyRefused) and error.facts.code == "-32001":
            # The policy was set to Ask since the tools were loaded (docs/wire.md, "Installation proxy").
            self._once = False
            self._end(CallPhase.ASKING)
        else:
            self._end(CallPhase.FAILED)
            if error.facts.code == REPLACED:
                # Another process has signed in meanwhile, and the status has changed already: no event will follow.
                self._sign_in_changed()

    def _permitted(self, granted: bool) -> None:
        self.not_granted = not granted
        if granted:
            # The call was refused before the tool ran (RFC 6750 section 3.1), so this is not a second run.
            self._start()
        else:
            self._end(CallPhase.FAILED)

    def _not_asked(self, error: BurrowError) -> None:
        self.not_asked = None if error.facts.code == CANCELLED else error
        self._end(CallPhase.FAILED)

    def _end(self, phase: CallPhase) -> None:
        self.phase = phase
        self.changed.emit()

    def _sign_in_changed(self) -> None:
        awaited = self.waits_for
        signed_in = awaited is not None and awaited.status.state is CredentialState.SIGNED_IN
        if not signed_in or self.arguments is None:
            return
        # The refused call did not run, but the person may have changed their mind since. So only a tool that claims to
        # read runs again without asking.
        if self.tool.annotations.read_only is True and not self._repeated:
            self._repeated = True
            self._start()
        else:
            self.signed_in_again = True
            self.changed.emit()
