"""`burrow update`: look for a newer version, download it, install it, or go back, without a window.

Exit codes: 0 done or nothing to do, 10 a newer version is there and was only looked for, 9 it was refused, 6 the
repository cannot be reached, 2 this installation has no updates of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from app.cli.common import services_of
from app.cli.terminal import data, line, say
from app.core.data_folder import data_folder
from app.core.errors import Rejected
from app.core.installation import InstallKind
from app.core.updates.status import HOW_ELSE, UpdateState

if TYPE_CHECKING:
    import argparse

    from app.core.updates.service import Updates
    from app.core.updates.status import UpdateStatus

THERE = 10
RESTART = "It is used from the next start."


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of `burrow update`."""
    what = command.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="only look whether there is a newer version (the default)")
    what.add_argument("--download", action="store_true", help="download and verify it too")
    what.add_argument("--install", action="store_true", help="install it too; it is used from the next start")
    what.add_argument("--roll-back", action="store_true", help="put the version before the last update back")


async def update(options: argparse.Namespace) -> int:
    """Do what was asked. Raises `BurrowError`."""
    if options.roll_back:
        return await _roll_back(options)
    async with services_of(options) as services:
        updates = services.updates
        if not updates.possible:
            return _say_off(updates, options)
        await updates.load()
        status = await updates.check()
        if status.release is not None and (options.download or options.install):
            status = await _downloaded(updates)
            if options.install:
                return await _install(updates, options)
    _show(updates, status, options)
    return THERE if status.state is UpdateState.AVAILABLE else 0


async def _downloaded(updates: Updates) -> UpdateStatus:
    last = [0]

    def told(status: UpdateStatus) -> None:
        if status.release is None or status.state is not UpdateState.DOWNLOADING:
            return
        percent = 100 * status.received // status.release.length
        if percent >= last[0] + 10:
            last[0] = percent
            say(f"{percent} %")

    ended = updates.changed.subscribe(told)
    try:
        return await updates.download()
    finally:
        ended()


async def _install(updates: Updates, options: argparse.Namespace) -> int:
    from app.core.updates.handover import install_now

    if updates.installed.kind is InstallKind.MACOS:
        # A Burrow that runs reads from its bundle.
        raise Rejected("On macOS an update is installed by the window.", action="Open Burrow, and restart it there.")
    release = await updates.arm()
    await asyncio.to_thread(install_now, data_folder(options.data), updates.installed, release, updates.running)
    if options.json:
        data({"state": "installed", "version": updates.running, "available": str(release.version)})
    else:
        line(f"Burrow {release.version} was installed in the place of {updates.running}. {RESTART}")
    return 0


async def _roll_back(options: argparse.Namespace) -> int:
    from app.core.updates.trial import roll_back

    outcome = await asyncio.to_thread(roll_back, data_folder(options.data))
    if options.json:
        data({"state": "put back", "version": outcome.former, "left": outcome.version})
    else:
        line(f"Burrow {outcome.former} is in the place of {outcome.version} again. {RESTART}")
    return 0


def _say_off(updates: Updates, options: argparse.Namespace) -> int:
    why = updates.why_off
    if options.json:
        data({"state": "off", "version": updates.running, "why": None if why is None else why.value})
    else:
        line(f"This is Burrow {updates.running}. {HOW_ELSE.get(why, '')}".strip())
    return 0 if not (options.download or options.install) else Rejected.exit_code


def _show(updates: Updates, status: UpdateStatus, options: argparse.Namespace) -> None:
    release = status.release
    if options.json:
        found: dict[str, Any] = {"state": status.state.value, "version": updates.running}
        if release is not None:
            found |= {"available": str(release.version), "bytes": release.length, "received": status.received}
            found["notes"] = release.notes
        data(found)
    elif release is None:
        line(f"Burrow {updates.running} is the newest version.")
    elif status.state is UpdateState.READY:
        line(f"Burrow {release.version} is downloaded and verified. Install it with: burrow update --install")
    else:
        line(f"Burrow {release.version} is there ({release.length / 1e6:.0f} MB). This is {updates.running}.")
