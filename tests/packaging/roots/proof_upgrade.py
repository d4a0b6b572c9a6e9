"""A newer package over the installed one, and its removal, while a window is open."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.roots.repack import later_deb
from tests.packaging.roots.session import InstalledWindow

if TYPE_CHECKING:
    from tests.packaging.roots.root import Root
    from tests.packaging.roots.session import SessionBus

pytestmark = [pytest.mark.packaged, pytest.mark.x11]

LATER = "99.0"


@pytest.fixture(scope="session")
def later(packages: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return later_deb(packages["deb"], tmp_path_factory.mktemp("later"), LATER)


def test_an_open_window_goes_on_through_an_upgrade_the_new_version_starts_and_ends_well_after_a_removal(
    root: Root, bus: SessionBus, later: Path
) -> None:
    with InstalledWindow(root, bus, "--workspace") as window:
        window.find(re.compile(r"HED-\d+"), "cell")
        root.apt("install", str(shutil.copy(later, root.shared)))
        assert root.run("dpkg-query", "--show", "--showformat=${Version}", "burrow").stdout == LATER
        window.create_task("Made by the version of before")
        window.key("ctrl+2")
        window.find(re.compile("^Workspace, "), "cell")
        assert window.quit() == 0

        window.start()
        window.key("ctrl+1")
        window.find(re.compile("Made by the version of before"), "cell")
        root.apt("remove", "burrow")
        assert not (root.folder / "opt/burrow").exists()
        window.key("ctrl+2")
        window.find(re.compile("^Workspace, "), "cell")
        assert window.quit() == 0
        window.until(lambda: root.processes() == {})
    said = (root.shared / "window" / "stderr").read_text()
    assert not re.search("ImportError|ModuleNotFound|zlib|moved or deleted", said), said
