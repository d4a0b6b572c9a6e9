"""The installed window on a bare system: nothing but what the package depends on, an ordinary user, the main job."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.packaging.roots.session import InstalledWindow

if TYPE_CHECKING:
    from tests.packaging.roots.root import Root
    from tests.packaging.roots.session import SessionBus

pytestmark = [pytest.mark.packaged, pytest.mark.x11]


def test_a_person_creates_a_task_and_browses_tools_with_nothing_but_what_the_package_depends_on(
    root: Root, bus: SessionBus
) -> None:
    with InstalledWindow(root, bus, "--workspace") as window:
        window.find(re.compile(r"HED-\d+"), "cell")
        window.create_task("Made on a bare system")
        window.browse_tool()
        assert window.quit() == 0
    assert "Traceback" not in (root.shared / "window" / "stderr").read_text()
