"""An update takes longer than a start: the proxy port is kept for as long, so clients wait instead of failing."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.mcp.proxy import port
from app.core.mcp.proxy.keeper import KEEP_SECONDS, UPDATE_KEEP_SECONDS
from app.core.mcp.proxy.service import PORT_SETTING, ProxyState
from app.core.updates.release import Release
from app.core.updates.service import Updates
from app.core.updates.version import Version
from tests.core.proxy._service import free_port, state_is
from tests.core.test_services import services_in
from tests.core.updates._repository import HERE


@pytest.mark.parametrize(("updates", "seconds"), [(False, KEEP_SECONDS), (True, UPDATE_KEEP_SECONDS)])
async def test_the_port_is_kept_longer_for_an_update(
    updates: bool, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[float] = []
    monkeypatch.setattr(port, "start_keeper", lambda *_, seconds: kept.append(seconds))
    async with services_in(tmp_path) as services:
        await services.storage.settings.set(PORT_SETTING, free_port())
        await services.proxy.start()
        await state_is(services.proxy, ProxyState.SERVING)
        monkeypatch.setattr(type(services.proxy), "_used", True)
        if updates:
            release = Release(Version(9, 0, 0), "Burrow.AppImage", 1, "0" * 64, HERE)
            monkeypatch.setattr(Updates, "armed", release)
            assert services.updates.armed is release
    assert kept == [seconds]
