"""The .deb of this checkout, installed into a bare Debian 12 and a bare Debian 13 once for all tests.

`test_*.py` are part of the test command, `proof_*.py` of `dev.py proof installed`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.roots.bare import SUITES, NoRoots, bare_root
from tests.packaging.roots.root import Root
from tests.packaging.roots.session import RootSecretService, SessionBus

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

    from tests.packaging.linux_packages import Packages

# What the .deb recommends, and the programs with which a desktop keeps its menu.
SESSION_PACKAGES = ("gnome-keyring", "dbus-x11", "xdg-utils", "desktop-file-utils")


@dataclass(frozen=True)
class Installed:
    """A root with the package, and what its files were `before` that; `session` has `SESSION_PACKAGES` too.

    Nothing is run in `root` any more: both are only branched from.
    """

    suite: str
    root: Root
    before: Mapping[str, str]
    session: Future[Root]


def suite(name: str) -> ParameterSet:
    """A parameter for the suite of that name."""
    return pytest.param(name, id=f"debian{SUITES[name]}")


def on_suite(*suites: str) -> pytest.MarkDecorator:
    """The marked tests run on these suites only."""
    return pytest.mark.parametrize("installed", list(map(suite, suites)), indirect=True, scope="session")


@pytest.fixture(scope="session")
def packages(linux_packages: Packages) -> Mapping[str, Path]:
    """The packages of this checkout by their kind."""
    return {"deb": linux_packages.deb, "rpm": linux_packages.rpm, "appimage": linux_packages.appimage}


@pytest.fixture(scope="session", params=list(map(suite, SUITES)))
def installed(request: pytest.FixtureRequest) -> Iterator[Installed]:
    """The package in a bare root, by apt, with nothing but what it depends on. Shared by all tests of a suite."""
    try:
        bare = bare_root(request.param)
    except NoRoots as reason:
        pytest.skip(str(reason))
    packages: Mapping[str, Path] = request.getfixturevalue("packages")
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        root = stack.enter_context(Root(bare))
        before = root.files()
        root.apt("install", "--no-install-recommends", str(shutil.copy(packages["deb"], root.shared)))

        def make_session() -> Root:
            session = stack.enter_context(root.branch())
            session.apt("install", "--no-install-recommends", *SESSION_PACKAGES)
            return session

        session = pool.submit(make_session)
        yield Installed(request.param, root, before, session)
        session.exception()


@pytest.fixture
def root(installed: Installed) -> Iterator[Root]:
    """A system of this test's own, on which Burrow has just been installed with nothing but what it depends on."""
    with installed.root.branch() as root:
        yield root


@pytest.fixture
def bus(root: Root) -> Iterator[SessionBus]:
    with SessionBus(root) as bus:
        yield bus


@pytest.fixture
def session_root(installed: Installed) -> Iterator[Root]:
    """The same with what it recommends: a keyring, the handlers of links."""
    with installed.session.result().branch() as root:
        yield root


@pytest.fixture
def keyring(session_root: Root) -> Iterator[RootSecretService]:
    with RootSecretService(session_root) as service:
        yield service
