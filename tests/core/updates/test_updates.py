"""An update is found, downloaded, verified and offered; equal, lower and foreign versions never are."""

from __future__ import annotations

from app.core.updates.service import UpdateState
from tests.core.updates._repository import CONTENT, Rig


async def test_a_newer_version_is_found_downloaded_and_ready(rig: Rig) -> None:
    rig.add("0.2.0")
    updates = rig.updates()
    heard = []
    updates.changed.subscribe(lambda status: heard.append(status.state))

    found = await updates.check()

    assert found.state is UpdateState.AVAILABLE
    assert found.release is not None
    assert (str(found.release.version), found.release.length) == ("0.2.0", len(CONTENT))
    assert found.release.notes == "What is new in 0.2.0."
    ready = await updates.download()
    assert ready.state is UpdateState.READY
    staged = rig.data / "updates" / "staged" / found.release.sha256
    assert staged.read_bytes() == CONTENT
    assert heard[0] is UpdateState.CHECKING
    assert heard[-1] is UpdateState.READY
    await rig.clients.close()
