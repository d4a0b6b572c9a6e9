"""The parts of the window that begin in the loop: questions of agents, the end of the session, crashes, updates.

None of them is imported before it begins. `parent` is the window itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from app.core.diagnostics.crash_watch import CrashWatch
    from app.core.mcp.proxy.approvals import Approvals
    from app.ui.settings import UiSettings
    from app.ui.shell.approval_desk import ApprovalDesk
    from app.ui.shell.approval_prompt import ApprovalPrompt
    from app.ui.shell.crash_care import CrashCare
    from app.ui.shell.session_end import DesktopSession
    from app.ui.shell.update_care import UpdateCare
    from app.ui.shell.window_parts import WindowParts


def approval_desk(window: WindowParts, parent: QWidget, approvals: Approvals) -> ApprovalDesk:
    """Show the questions of agents from now on."""
    from app.ui.shell.approval_desk import ApprovalDesk

    def place(prompt: ApprovalPrompt) -> None:
        window.put_question(prompt)
        prompt.covering.connect(lambda covered: window.pages.setVisible(not covered))

    bridge, leave = window.context.bridge, window.navigation.focus_place
    return ApprovalDesk(parent, window, approvals, bridge, window.notices, place=place, leave=leave)


def desktop_session(window: WindowParts, parent: QWidget) -> DesktopSession | None:
    """Store what is typed when the desktop's session ends, and tell it of work; None before the window is filled."""
    from app.ui.shell.session_end import DesktopSession

    if window.leaving is None:
        return None
    return DesktopSession(window.leaving, window.context.services.busy, window.context.bridge, parent)


def crash_care(
    window: WindowParts, parent: QWidget, settings: UiSettings, watch: CrashWatch, *, safe: bool
) -> CrashCare:
    """Tell of crashes from now on. `safe`: Burrow is in safe mode."""
    from app.ui.shell.crash_care import CrashCare

    return CrashCare(parent, window, watch, window.context.bridge, settings, place=window.put_above, safe=safe)


def update_care(window: WindowParts, parent: QWidget, *, looks: bool) -> UpdateCare:
    """Say what became of the last update, and with `looks` look for one once a day."""
    from app.ui.shell.notices import NOTIFY_UPDATES
    from app.ui.shell.update_care import UpdateCare

    title = QCoreApplication.translate("MainWindow", "An update is ready")
    return UpdateCare(
        parent,
        window.context.services.updates,
        window.context.bridge,
        place=window.put_above,
        restart=window.restart,
        tell=lambda words: window.notices.tell("update", title, words, NOTIFY_UPDATES),
        looks=looks,
    )
