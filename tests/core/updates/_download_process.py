"""A process that downloads an update, to be killed: `_download_process.py URL ROOT DATA`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from app.core.auth.http.clients import HttpClients
from app.core.busy import Busy
from app.core.installation import InstalledApp, InstallKind
from app.core.updates.service import Updates
from app.core.updates.source import UpdateSource
from tests.core.updates._repository import HERE


async def main(url: str, root: bytes, data: str) -> None:
    clients = HttpClients()
    installed = InstalledApp(InstallKind.APPIMAGE, (str(Path(data).parent / "Burrow.AppImage"),), Path(data).parent)
    updates = Updates(
        Path(data),
        lambda: clients,
        {},
        Busy(),
        installed=installed,
        source=UpdateSource(url, root),
        machine=HERE,
        running="0.1.0",
    )
    await updates.load()
    if updates.status.release is None:
        await updates.check()
    sys.stdout.write(f"{(await updates.download()).state.value}\n")
    await clients.close()


asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_bytes(), sys.argv[3]))
