"""What is left of Burrow on a system that it was removed from: the person's data, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.packaging.roots.conftest import Installed
    from tests.packaging.roots.root import Root

pytestmark = pytest.mark.packaged

HOME = "home/person/"
DATA = f"{HOME}.local/share/Burrow/"
# ldconfig's memory of libraries, which every installed library changes; dpkg removes the empty /opt, as it does after
# every package there.
OTHERS = {"etc/ld.so.cache", "var/cache/ldconfig/aux-cache", "opt"}
# Also what apt takes for wanted because something else recommends it.
EVERYTHING = ("--autoremove", "-o", "APT::AutoRemove::RecommendsImportant=false")


def test_nothing_but_the_persons_data_is_left_after_a_removal_and_a_purge(installed: Installed, root: Root) -> None:
    installed_files = root.files()
    assert root.run("burrow", "tasks", "list", "--host", "workspace", person=True).stdout
    used = root.files()
    assert {name for name in used if used[name] != installed_files.get(name)} <= {
        name for name in used if name.startswith(HOME)
    }

    root.apt("remove", "burrow")
    removed = root.files()
    assert {name for name in removed if "burrow" in name.lower() and not name.startswith(DATA)} == {DATA.rstrip("/")}
    assert {name: removed.get(name) for name in used if name.startswith(HOME)} == {
        name: used[name] for name in used if name.startswith(HOME)
    }

    root.apt("purge", *EVERYTHING, "burrow")
    left = root.files()
    changed = {name for name in left.keys() | installed.before.keys() if left.get(name) != installed.before.get(name)}
    assert {name for name in changed - OTHERS if not name.startswith(HOME)} == set()
    assert DATA + "burrow.sqlite3" in left
    assert root.processes() == {}
