"""What the tests of the fault matrix share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.measure import Measure
from tests.faults.report import PROPERTY, ROW


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Iterator[Measure]:
    """What this test's row costs: requests to the token endpoint, errors, prompts, duplicate effects."""
    row = ROW.match(request.node.name)
    assert row is not None, "a test that measures is named after its row"
    counts = Measure()
    yield counts
    if counts.told is not None:
        measured = (int(row.group(1)), request.node.path.name, request.node.originalname, *counts.told, counts.note)
        request.node.user_properties.append((PROPERTY, measured))
