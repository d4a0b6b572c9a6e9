"""A repository with one release, for tests that need nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.updates._repository import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """An empty repository, its server, and an installation of 0.1.0."""
    made = Rig.make(tmp_path)
    yield made
    made.server.close()
