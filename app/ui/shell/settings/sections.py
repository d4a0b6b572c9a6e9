"""The sections of the settings page, in their order. A new one is a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.shell.settings.crash_section import CrashSection
from app.ui.shell.settings.desktop_section import DesktopSection
from app.ui.shell.settings.links_section import LinksSection
from app.ui.shell.settings.look_section import LookSection
from app.ui.shell.settings.network_section import NetworkSection
from app.ui.shell.settings.notices_section import NoticesSection
from app.ui.shell.settings.runs_section import RunsSection
from app.ui.shell.settings.sign_in_section import SignInSection
from app.ui.shell.settings.start_section import StartSection
from app.ui.shell.settings.updates_section import UpdatesSection

if TYPE_CHECKING:
    from app.ui.shell.settings.section import SettingsSection

SECTIONS: tuple[type[SettingsSection], ...] = (
    LookSection,
    StartSection,
    RunsSection,
    DesktopSection,
    LinksSection,
    NetworkSection,
    NoticesSection,
    SignInSection,
    UpdatesSection,
    CrashSection,
)
