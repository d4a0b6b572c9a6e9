"""Makes what the tests of packages begin with, beside the other tests: the build, the packages, the bare systems.

`tests/run.py` starts it. What it has not made, the tests make themselves and then say why that failed.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING

from tests.packaging.builds import frozen_build, package_set
from tests.packaging.roots.bare import SUITES, NoRoots, bare_root

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Below the tests, which wait for programs of their own.
NICENESS = 5


def everything() -> list[Callable[[], object]]:
    steps: list[Callable[[], object]] = [frozen_build]
    if sys.platform == "linux":
        # Not two at once: each is in memory until it is finished.
        steps += [package_set, *(lambda suite=suite: bare_root(suite) for suite in SUITES)]
    return steps


def prepare(steps: Sequence[Callable[[], object]]) -> int:
    """Take every step, though one before failed; returns the exit code."""
    failed = 0
    for step in steps:
        try:
            sys.stdout.write(f"{step()}\n")
        except NoRoots as reason:
            sys.stdout.write(f"{reason}\n")
        except Exception:
            traceback.print_exc()
            failed = 1
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    if sys.platform != "win32":
        os.nice(NICENESS)
    raise SystemExit(prepare(everything()))
