"""The packages of this checkout, the .deb installed into a bare Debian 12 and a bare Debian 13 once for all tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.roots.bare import SUITES, NoRoots, bare_root, check_machine
from tests.packaging.roots.root import Root
from tests.packaging.roots.session import RootSecretService, SessionBus

PACKAGE = Path(__file__).resolve().parents[3] / "packaging" / "package.py"
PACKAGE_SECONDS = 120.0
KINDS = ("deb", "rpm", "appimage")
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


@pytest.fixture(scope="session")
def bare_roots(request: pytest.FixtureRequest) -> Iterator[tuple[ThreadPoolExecutor, Mapping[str, Future[Path]]]]:
    """The systems that tests need, all being made from the moment that one is asked for, beside the build."""
    try:
        check_machine()
    except NoRoots as reason:
        pytest.skip(str(reason))
    asked = [item.callspec.params.get("installed") for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(3 * len(SUITES)) as pool:
        yield pool, {suite: pool.submit(bare_root, suite) for suite in SUITES if suite in asked}


@pytest.fixture(scope="session")
def packages(bare_roots: object, frozen_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The packages of this checkout by their kind; the roots are made meanwhile."""
    output = tmp_path_factory.mktemp("packages")
    asked = [*KINDS, "--fast", "--application", str(frozen_folder), "--output", str(output)]
    made = subprocess.run(
        [sys.executable, str(PACKAGE), *asked], capture_output=True, text=True, timeout=PACKAGE_SECONDS, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return {kind: path for kind in KINDS for path in output.iterdir() if path.suffix.lower() == f".{kind}"}


@pytest.fixture(scope="session")
def installed_roots(
    bare_roots: tuple[ThreadPoolExecutor, Mapping[str, Future[Path]]], packages: Mapping[str, Path]
) -> Iterator[Mapping[str, Future[Installed]]]:
    """The package in each bare root, by apt, with nothing but what it depends on."""
    pool, bare = bare_roots
    with ExitStack() as stack:

        def install(suite: str) -> Installed:
            root = stack.enter_context(Root(bare[suite].result()))
            before = root.files()
            package = shutil.copy(packages["deb"], root.shared)
            root.apt("install", "--no-install-recommends", str(package))
            return Installed(suite, root, before, pool.submit(make_session, root))

        def make_session(installed: Root) -> Root:
            root = stack.enter_context(installed.branch())
            root.apt("install", "--no-install-recommends", *SESSION_PACKAGES)
            return root

        futures = {suite: pool.submit(install, suite) for suite in bare}
        yield futures
        for future in futures.values():
            if future.exception() is None:
                future.result().session.exception()


def on_suite(*suites: str) -> pytest.MarkDecorator:
    """The marked tests run on these suites only."""
    named = [pytest.param(suite, id=f"debian{SUITES[suite]}") for suite in suites]
    return pytest.mark.parametrize("installed", named, indirect=True, scope="session")


@pytest.fixture(scope="session", params=[pytest.param(suite, id=f"debian{SUITES[suite]}") for suite in SUITES])
def installed(request: pytest.FixtureRequest, installed_roots: Mapping[str, Future[Installed]]) -> Installed:
    """Shared by all tests of a suite."""
    try:
        return installed_roots[request.param].result()
    except NoRoots as reason:
        pytest.skip(str(reason))


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
