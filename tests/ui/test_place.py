"""What every place has: it drops an account once, asks its server again once, and stands by itself."""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations
from types import SimpleNamespace
from typing import Any, cast

import grimp
import pytest
from PySide6.QtWidgets import QApplication

from app.core.auth.status import SERVER_TROUBLES, CredentialState, CredentialStatus, Trouble
from app.core.posthog.types import Project
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.place import Identity, Place, RecoveryDetector
from app.ui.place_info import PlaceInfo
from app.ui.places import PLACES
from app.ui.shell.window import MainWindow
from app.ui.theme.icons import DRAWINGS
from tests.ui._shell_fakes import FakeBackend, FakeServices

WELL = CredentialStatus(CredentialState.SIGNED_IN)
RENEWING = CredentialStatus(CredentialState.SIGNED_IN, refreshing_since=1.0)


@pytest.mark.parametrize(
    "ill",
    [
        CredentialStatus(CredentialState.NEEDS_SIGN_IN),
        CredentialStatus(CredentialState.SIGNED_OUT),
        CredentialStatus(CredentialState.RESTORING),
        *(CredentialStatus(CredentialState.SIGNED_IN, trouble=trouble) for trouble in sorted(SERVER_TROUBLES)),
    ],
    ids=lambda status: f"{status.state.value} {status.trouble}",
)
def test_a_credential_that_works_again_is_told_once(ill: CredentialStatus) -> None:
    detector = RecoveryDetector(WELL)
    assert [detector.recovered(status) for status in (ill, ill, WELL, RENEWING, WELL)] == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert RecoveryDetector(ill).recovered(WELL)


def test_renewals_and_a_keyring_that_fails_are_no_recovery() -> None:
    detector = RecoveryDetector(WELL)
    locked = CredentialStatus(CredentialState.SIGNED_IN, trouble=Trouble.VAULT_LOCKED, persistent=False)
    assert not any(detector.recovered(status) for status in (RENEWING, WELL, locked, RENEWING, WELL))


class Watched(Place):
    """A place that notes whose things it was told to show."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.shown: list[tuple[object, object]] = []

    def show_account(self, former: Identity | None) -> None:
        self.shown.append((former.project if former is not None else None, self.backend))


def test_a_place_is_told_once_of_each_account_and_project(qapp: QApplication) -> None:
    services = FakeServices()
    place, backend = Watched(cast(Any, SimpleNamespace(services=services))), FakeBackend()
    for _ in range(2):
        place.set_backend(cast(Any, backend))
    backend.project = Project(2)
    for _ in range(2):
        place.set_backend(cast(Any, backend))
    place.set_backend(None)
    place.set_backend(None)
    assert place.shown == [(None, backend), (1, backend), (2, None)]


async def test_a_place_is_told_once_that_there_is_to_be_no_account(qapp: QApplication) -> None:
    services = FakeServices()
    place = Watched(cast(Any, SimpleNamespace(services=services)))
    place.set_backend(None)
    assert place.shown == []
    await services.storage.settings.set("host", "")
    for _ in range(2):
        place.set_backend(None)
    assert place.shown == [(None, None)]


async def test_a_place_that_overrides_nothing_can_be_shown() -> None:
    bridge, services = Bridge(), FakeServices(FakeBackend())
    window = MainWindow(cast(Any, services), bridge, [PlaceInfo("connect", "Connect", "link", "Ctrl+3", Place)])
    window.show()
    try:
        place = window.place("connect")
        assert type(place) is Place
        assert window.stack.currentWidget() is place
        assert [line.title for line in window.rail.list.rows.lines()] == ["Connect"]
        window.stack.refresh_current()
        window.stack.filter_current()
        window.go("connect", "item")
        window.open_palette("connect")
        assert window.dialogs.palette is not None
        assert window.dialogs.palette.list.current_key() == "go.connect"
        await window.stack.flush()
    finally:
        await bridge.close()
        window.close()
        window.deleteLater()


def test_no_two_places_share_a_name_or_a_key() -> None:
    keys = [key for info in PLACES for key in (info.keys, *info.global_keys)]
    assert len(set(keys)) == len(keys)
    assert len({info.id for info in PLACES}) == len(PLACES)
    assert all(info.icon in DRAWINGS for info in PLACES)


def test_the_declarations_of_all_places_load_neither_qt_nor_a_place() -> None:
    program = (
        "import sys, app.ui.places; "
        "print([name for name in sys.modules if name.startswith(('PySide6', 'app.core')) or name.endswith('.place')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_places_and_the_first_page_do_not_import_each_other() -> None:
    graph = grimp.build_graph("app", cache_dir=None)
    packages = [info.make.__module__ for info in PLACES]
    assert all(package.startswith("app.ui.") for package in packages)
    for one, other in permutations([*packages, "app.ui.signin"], 2):
        chains = graph.find_shortest_chains(one, other, as_packages=True)
        assert not chains, f"{one} imports {other}: {sorted(chains)}"
