"""How the user learns that a client met a server whose sign-in is over: in the window's bar, or in the browser."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from time import monotonic
from typing import TYPE_CHECKING

from app.core.background import BackgroundTasks
from app.core.errors import BurrowError
from app.core.file_lock import file_lock
from app.core.private import make_private_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.core.mcp.proxy.surroundings import ProxyPendingSignIn, ProxySignIn, ProxySignIns

log = logging.getLogger(__name__)

# A page that was opened and left alone is not opened again for so long, however often clients ask.
QUIET_SECONDS = 180.0


class WindowNotice:
    """Shows it in the sign-in bar of the window."""

    def __init__(self, sign_ins: Callable[[], ProxySignIns]) -> None:
        self._sign_ins = sign_ins

    async def tell(self, key: str | None, server_id: str, title: str) -> str:
        """See `SignInNotice`."""
        sign_in = self._sign_ins().met(key=key, server_id=server_id)
        if sign_in is None:
            return f"Open Burrow and sign in, then try {title} again."
        return f"Sign in to {sign_in.title}: the window of Burrow shows how. Then try again."


class BrowserNotice:
    """Opens the page in the browser, where there is no window: once for each sign-in, and in one process only."""

    def __init__(self, sign_ins: Callable[[], ProxySignIns], folder: Path, say: Callable[[str], None]) -> None:
        """Processes that share a `folder` open one page between them. `say` tells who reads the terminal or log."""
        self._sign_ins = sign_ins
        self._folder = folder
        self._say = say
        self._background = BackgroundTasks()
        self._quiet_until: dict[str, float] = {}

    async def close(self) -> None:
        """Give up the sign-ins that wait for the browser."""
        await self._background.close()

    async def tell(self, key: str | None, server_id: str, title: str) -> str:
        """See `SignInNotice`."""
        sign_in = self._sign_ins().met(key=key, server_id=server_id)
        if sign_in is None:
            return f"Nobody is signed in. Run “burrow login”, then try {title} again."
        name = key or server_id
        if monotonic() >= self._quiet_until.get(name, 0.0):
            self._quiet_until[name] = monotonic() + QUIET_SECONDS
            self._background.start(self._through_browser(name, sign_in))
        return f"Sign in to {sign_in.title} on the page that Burrow opened in your browser. Then try again."

    async def _through_browser(self, name: str, sign_in: ProxySignIn) -> None:
        from filelock import Timeout

        make_private_folder(self._folder)
        lock = file_lock(self._folder / f"sign-in-{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            # Another process has opened the page.
            return
        pending: ProxyPendingSignIn | None = None
        try:
            pending = await sign_in.begin()
            self._say(f"Sign in to {sign_in.title} in the browser.")
            await pending.finish()
            self._say(f"Signed in to {sign_in.title}.")
            self._quiet_until.pop(name, None)
        except BurrowError as failure:
            log.info("the sign-in did not succeed: %s", type(failure).__name__)
            self._say(f"The sign-in to {sign_in.title} did not succeed: {failure.cause}")
        finally:
            if pending is not None:
                pending.cancel()
            with contextlib.suppress(OSError):
                lock.release()
