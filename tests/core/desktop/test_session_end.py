"""The end of the desktop's session, over a real bus: it is told, what is typed is stored first, and work is named."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from jeepney import DBusAddress, new_signal
from jeepney.io.asyncio import open_dbus_connection

from app.core.desktop.session_end import INHIBIT, LOGOUT, DesktopSessionState, SessionEnd
from tests.core.desktop._portal import PATH, inhibit_portal
from tests.until import until

REASON = "search on Linear"


class Told:
    """What a window does."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.saves = asyncio.Event()
        self.ended = asyncio.Event()

    async def ask(self) -> None:
        self.steps.append("saved")
        self.saves.set()

    def ending(self) -> None:
        self.steps.append("ended")
        self.ended.set()


async def test_the_end_is_answered_after_what_is_typed_is_stored_and_a_stranger_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    async with inhibit_portal(tmp_path, monkeypatch) as portal:
        end = SessionEnd(told.ask, told.ending)
        running = asyncio.create_task(end.run())
        await portal.until(lambda: portal.monitors)
        [monitor] = portal.monitors
        stranger = await open_dbus_connection("SESSION")
        forged = (monitor, {"session-state": ("u", int(DesktopSessionState.ENDING))})
        await stranger.send(new_signal(DBusAddress(PATH, interface=INHIBIT), "StateChanged", "oa{sv}", forged))
        await stranger.close()
        await portal.tell(DesktopSessionState.RUNNING)
        await portal.tell(DesktopSessionState.QUERY_END)
        await portal.until(lambda: portal.responses == [monitor])
        assert told.steps == ["saved"]
        await portal.tell(DesktopSessionState.ENDING)
        await asyncio.wait_for(told.ended.wait(), 5)
        assert told.steps == ["saved", "ended"]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await portal.until(lambda: not portal.monitors)


async def test_the_session_is_kept_from_ending_only_while_work_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    async with inhibit_portal(tmp_path, monkeypatch) as portal:
        end = SessionEnd(told.ask, told.ending)
        running = asyncio.create_task(end.run())
        await portal.until(lambda: portal.monitors)
        assert portal.held == {}
        end.busy_with(REASON)
        await portal.until(lambda: list(portal.held.values()) == [REASON])
        assert portal.flags == [LOGOUT]
        # Said once, however often it is told.
        end.busy_with(REASON)
        end.busy_with("two calls")
        await portal.until(lambda: list(portal.held.values()) == ["two calls"])
        end.busy_with("")
        await portal.until(lambda: portal.held == {})
        assert len(portal.flags) == 2
        end.busy_with(REASON)
        await until(lambda: end.inhibits)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await portal.until(lambda: portal.held == {})


async def test_a_save_that_hangs_does_not_keep_the_session_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    async with inhibit_portal(tmp_path, monkeypatch) as portal:
        running = asyncio.create_task(SessionEnd(hangs, lambda: None).run())
        await portal.until(lambda: portal.monitors)
        await portal.tell(DesktopSessionState.QUERY_END)
        await portal.until(lambda: portal.responses)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_desktop_without_a_bus_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path / 'none'}")
    told = Told()
    await asyncio.wait_for(SessionEnd(told.ask, told.ending).run(), 5)
    assert told.steps == []


async def test_waiting_for_a_bus_that_never_answers_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    greeted = asyncio.Event()

    async def never_answered(_bus: str) -> None:
        greeted.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # As jeepney 0.9 does: it answers the cancelled greeting once more.
            asyncio.get_running_loop().create_future().result()

    monkeypatch.setattr("jeepney.io.asyncio.open_dbus_connection", never_answered)
    running = asyncio.create_task(SessionEnd(Told().ask, lambda: None).run())
    await asyncio.wait_for(greeted.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
