"""The package of this checkout, installed into a bare Debian 12 and a bare Debian 13, once for all tests of each."""

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
from tests.packaging.roots.session import KEYRING_PACKAGES, RootSecretService

PACKAGE = Path(__file__).resolve().parents[3] / "packaging" / "package.py"
PACKAGE_SECONDS = 120.0


@dataclass(frozen=True)
class Installed:
    """A root with the package, what its files were `before` that, and the package as a file that it sees."""

    root: Root
    before: Mapping[str, str]
    package: Path
    said: str


@pytest.fixture(scope="session")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Both suites are prepared at the same time, and beside the build."""
    with ThreadPoolExecutor(len(SUITES)) as threads:
        yield threads


@pytest.fixture(scope="session")
def bare_roots(pool: ThreadPoolExecutor) -> Mapping[str, Future[Path]]:
    """Being made from the moment that a test asks for one."""
    try:
        check_machine()
    except NoRoots as reason:
        pytest.skip(str(reason))
    return {suite: pool.submit(bare_root, suite) for suite in SUITES}


@pytest.fixture(scope="session")
def package(
    bare_roots: Mapping[str, Future[Path]], frozen_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The .deb of this checkout; the roots are made meanwhile."""
    output = tmp_path_factory.mktemp("deb")
    command = [
        sys.executable,
        str(PACKAGE),
        "deb",
        "--fast",
        "--application",
        str(frozen_folder),
        "--output",
        str(output),
    ]
    made = subprocess.run(command, capture_output=True, text=True, timeout=PACKAGE_SECONDS, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    (package,) = output.glob("*.deb")
    return package


@pytest.fixture(scope="session")
def installed_roots(
    pool: ThreadPoolExecutor, bare_roots: Mapping[str, Future[Path]], package: Path
) -> Iterator[Mapping[str, Future[Installed]]]:
    """The package in each bare root, by apt, with nothing but what it depends on."""
    with ExitStack() as stack:

        def install(suite: str) -> Installed:
            root = stack.enter_context(Root(bare_roots[suite].result()))
            before = root.files()
            copy = Path(shutil.copy(package, root.shared))
            said = root.apt("install", "--no-install-recommends", str(copy))
            return Installed(root, before, copy, said)

        futures = {suite: pool.submit(install, suite) for suite in SUITES}
        yield futures
        for future in futures.values():
            future.exception()


@pytest.fixture(scope="session", params=[pytest.param(suite, id=f"debian{SUITES[suite]}") for suite in SUITES])
def installed(request: pytest.FixtureRequest, installed_roots: Mapping[str, Future[Installed]]) -> Installed:
    """Shared by all tests of a suite: what changes the system's files works on a branch of its root."""
    try:
        return installed_roots[request.param].result()
    except NoRoots as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def session_root(installed: Installed) -> Iterator[Root]:
    """The installed system of a person who also has a keyring, as the package recommends."""
    with installed.root.branch() as root:
        root.apt("install", "--no-install-recommends", *KEYRING_PACKAGES)
        yield root


@pytest.fixture
def secret_service(session_root: Root) -> Iterator[RootSecretService]:
    with RootSecretService(session_root) as service:
        yield service
