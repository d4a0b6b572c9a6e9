"""Verifies in a worker thread, with requests that run on the loop: python-tuf is synchronous, HTTP here is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from app.core.errors import Facts, Rejected, UpdateRefused

if TYPE_CHECKING:
    from pathlib import Path

    from app.core.updates.net import UpdateNet
    from app.core.updates.release import Release
    from app.core.updates.source import UpdateSource

LOOK_SECONDS = 180.0


async def look(net: UpdateNet, source: UpdateSource, folder: Path, moment: float) -> tuple[Release, ...]:
    """Every release that is signed and counts at `moment` (Unix time). Raises like `verified_releases`."""
    from app.core.updates.metadata import verified_releases

    loop, ended = asyncio.get_running_loop(), False
    asking: set[Any] = set()

    def fetch(url: str, limit: int) -> bytes:
        request = net.content(url, limit)
        if ended:
            request.close()
            raise Rejected("The look for updates was given up.")
        answer = asyncio.run_coroutine_threadsafe(request, loop)
        asking.add(answer)
        return answer.result(LOOK_SECONDS)

    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await asyncio.to_thread(verified_releases, source, folder, fetch, moment)
    except TimeoutError:
        raise UpdateRefused("The look for updates took too long.", Facts(code="slow")) from None
    finally:
        # The thread ends with its request.
        ended = True
        for answer in asking:
            answer.cancel()
