"""Which tests of packages run in one process, where two at once run them: those that share what is dear to set up."""

from __future__ import annotations

import re
from typing import Any

from xdist.scheduler import LoadScopeScheduling

# A suite of Debian with the package installed, and the trees taken out of both packages.
SHARED = re.compile(r"\[(debian\d+)|(test_linux_packages)\.py::")


def shared_part(nodeid: str) -> str:
    """The name of what a test shares with others; its own name where that is nothing."""
    found = SHARED.search(nodeid)
    return next(filter(None, found.groups())) if found else nodeid


class SharedParts(LoadScopeScheduling):
    """`--dist loadscope` by `shared_part`. xdist's own groups (`loadgroup`) are lost on pytest 9."""

    def _split_scope(self, nodeid: str) -> str:
        return shared_part(nodeid)


def make_scheduler(config: Any, log: Any) -> SharedParts | None:
    return SharedParts(config, log) if config.getvalue("dist") == "loadscope" else None
