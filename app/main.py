"""The composition root: parses arguments, builds services, Qt, window and loop, and shuts them down in order."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from typing import TYPE_CHECKING

from app import __version__
from app.core import safe_mode
from app.ui.places import PLACES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Sequence
    from pathlib import Path

    from app.core.diagnostics.crash_watch import CrashWatch
    from app.core.errors import BurrowError
    from app.core.instance.listener import InstanceListener
    from app.core.instance.lock import InstanceLock
    from app.core.services import Services
    from app.ui.loop import Collector
    from app.ui.shell.window import MainWindow

SETTLE_SECONDS = 1.0
# How much later the local proxy starts where no client could use it.
UNUSED_PROXY_SECONDS = 3.0
# How long what the window still wants to send or store may take when it ends.
FLUSH_SECONDS = 5.0
# The exit code of a start that found a window which does not answer: trying again may help (`EX_TEMPFAIL`).
NOT_ANSWERING = 75
# More than the longest link has.
LONGEST_ARGUMENT = 33_000
NO_DISPLAY = (
    "burrow: no display. Start one (for example with Xvfb), or save a picture: "
    "burrow --workspace --offscreen --screenshot FILE"
)


def main(arguments: Sequence[str]) -> int:
    """Open the window, or hand over to the one that is open on the same data; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.offscreen:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    if options.safe_mode:
        safe_mode.prepare(os.environ)
    from app.core.data_folder import data_folder

    try:
        folder = data_folder(options.data)
        lock, code = _enter(folder, options)
        if code is not None:
            return code
        if not _has_display():
            sys.stderr.write(f"{NO_DISPLAY}\n")
            return 1
        from app.core.services import Services
        from app.core.updates.process_ends import put_back_failed_update, start_instead

        former = None if options.screenshot else put_back_failed_update(folder, __version__)
        if former is not None:
            if lock is not None:
                lock.release()
            start_instead(former, sys.argv[1:])
            return 1

        services = Services(folder)
    except _burrow_error() as failure:
        sys.stderr.write(f"burrow: {failure.title}: {failure.cause}\n        {failure.advice}\n")
        return failure.exit_code
    return _guarded(options, services, lock)


def _guarded(options: argparse.Namespace, services: Services, lock: InstanceLock | None) -> int:
    """Open the window. A crash is recorded, here and by the next start; returns the exit code."""
    from app.core.diagnostics.crash_hooks import crash_words
    from app.core.diagnostics.crash_watch import CrashWatch
    from app.core.updates.process_ends import start_again_updated

    watch = CrashWatch(services.folder, services.activity.records, safe=options.safe_mode)
    if not options.safe_mode and watch.crashed_starts >= safe_mode.FORCED_AFTER:
        # Asking would need what crashes.
        options.safe_mode = True
        safe_mode.prepare(os.environ)
    again: Sequence[str] | None = None
    try:
        code, again = _open(options, services, lock, watch)
    except Exception as failure:  # noqa: BLE001 - the last resort: a report is written
        report = watch.recorder.record(failure, "the window")
        sys.stderr.write(crash_words(failure, report))
        code = 1
    finally:
        watch.end()
        if lock is not None:
            lock.release()
    if again is not None:
        updates = services.updates if services.began_updates else None
        start_again_updated(services.folder, updates, [*_same(options), *again])
    return code


def _same(options: argparse.Namespace) -> list[str]:
    """The arguments of this start that the next one has too."""
    found = ["--data", options.data] if options.data else []
    if options.workspace:
        found.append("--workspace")
    return [*found, "--host", options.host] if options.host else found


def _burrow_error() -> type[BurrowError]:
    # A start that hands over needs none of the errors, which take long to import.
    from app.core.errors import BurrowError

    return BurrowError


def _enter(folder: Path, options: argparse.Namespace) -> tuple[InstanceLock | None, int | None]:
    """The lock of a start that opens a window, if it is the first; the exit code of one that opens none."""
    # Safe mode is wanted where the window that is open does not work.
    if options.new_window or options.offscreen or options.screenshot or options.safe_mode:
        return None, None
    from app.core.instance.entry import NotAnswering, enter
    from app.core.instance.request import StartRequest, token_of

    request = StartRequest(
        host=options.host or ("workspace" if options.workspace else ""),
        place=options.place or "",
        link=options.link or "",
        hidden=options.hidden,
        folder=_working_folder(),
        activation_token=token_of(os.environ.get("XDG_ACTIVATION_TOKEN")),
        startup_id=token_of(os.environ.get("DESKTOP_STARTUP_ID")),
    )
    try:
        lock = enter(folder, request)
    except OSError:
        # What is wrong with the folder, the storage says.
        return None, None
    except NotAnswering as silent:
        sys.stderr.write(f"burrow: {silent}\n")
        if not sys.stderr.isatty() and _has_display():
            # Started from a menu or by a link: nobody reads standard error.
            from app.ui.shell.silent_window import say_silent

            say_silent(str(silent))
        return None, NOT_ANSWERING
    return (lock, None) if lock is not None else (None, 0)


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        # It was deleted meanwhile.
        return ""


def _open(
    options: argparse.Namespace, services: Services, lock: InstanceLock | None, watch: CrashWatch
) -> tuple[int, Sequence[str] | None]:
    """Paint the window before anything else is imported, then fill it, then start the loop.

    `lock` makes it the window that further starts hand over to. Returns the exit code, and the arguments of the next
    start, None where there is to be none.
    """
    # No garbage collection during the start. `settle` sets up the collector.
    gc.disable()
    from app.ui.imports import unhook  # isort: skip - before PySide6
    from PySide6.QtCore import Qt
    from PySide6.QtWidgets import QApplication

    unhook()

    from app.core.own_environment import own_qt_plugins
    from app.ui.bridge import Bridge
    from app.ui.painted import FirstPaint
    from app.ui.shell.window import MainWindow
    from app.ui.signin.connector import HostConnector

    with own_qt_plugins():
        app = QApplication(sys.argv[:1])
    safe_mode.give_back(os.environ)
    app.setApplicationName("Burrow")
    app.setApplicationVersion(__version__)
    app.setDesktopFileName("burrow")
    # A picture is taken without anybody who could answer.
    if not (options.safe_mode or options.screenshot) and watch.crashed_starts >= safe_mode.ASKED_AFTER:
        from app.ui.shell.start_question import StartAnswer, ask_how_to_start

        answer = ask_how_to_start(watch.reports)
        if answer is not StartAnswer.AS_USUAL:
            return 0, (safe_mode.OPTION,) if answer is StartAnswer.SAFELY else None
    if options.safe_mode:
        options.hidden = False
        services.storage.settings.use_defaults(safe_mode.SET_ASIDE)
        services.safe_mode = True
    services.serves_clients = not options.screenshot and not options.safe_mode
    bridge = Bridge()
    # The window is made with the connector, which calls it later.
    connecting = HostConnector(services, bridge, choose=lambda: window.choose_host(), stay=lambda: window.stay_here())
    window = MainWindow(services, bridge, PLACES, connecting, paint_first=True)
    # A window that is hidden when it ends is not the last one that closes.
    window.left.connect(app.quit, Qt.ConnectionType.QueuedConnection)
    if options.place:
        # Which places are available depends on the host.
        window.backend_shown.connect(
            lambda backend: window.go(options.place) if backend is not None or services.without_account else None
        )
    if not options.hidden:
        painted = FirstPaint(window)
        window.show()
        painted.wait()
    # Qt has used them. A program that is started from here must not get them.
    for used in ("XDG_ACTIVATION_TOKEN", "DESKTOP_STARTUP_ID"):
        os.environ.pop(used, None)
    window.fill()
    if options.link:
        window.links.open(options.link)
    from app.ui.held_keys import recognise_held_keys
    from app.ui.shell.opened_urls import take_opened_urls

    take_opened_urls(app, window.further_starts.take_link)
    held_keys = recognise_held_keys(app)
    # After `fill`, which shows the place, and before the loop, in which the first request is made.
    _hold_network(services, window)

    # Not above: asyncio takes 50 ms to import, and the first paint needs none of it.
    import asyncio

    from app.core.diagnostics.logs import start_logging
    from app.ui.loop import freeze_collector, run
    from app.ui.shell.qt_messages import take_messages

    start_logging(services.folder, traces=False)
    watch.install()
    release_messages = take_messages(watch.note)
    named = options.host or ("workspace" if options.workspace else services.remembered_host())

    # Stays empty if the window is closed before it has settled.
    collectors: list[Collector] = []

    async def settle() -> None:
        """Start what can wait until the saved data is shown."""
        await asyncio.sleep(SETTLE_SECONDS)
        watch.ready()
        window.follow_session()
        await services.activity.load()
        collectors.append(freeze_collector())
        if not options.safe_mode:
            bridge.spawn(window, mend_login(), key="login")
            bridge.spawn(window, keep_links(), key="links", failed=lambda _refused: None)
        if not options.screenshot:
            # In safe mode too: this version has come up.
            window.follow_updates(looks=services.serves_clients)
        if services.serves_clients:
            bridge.spawn(window, window.background.begin(hidden=options.hidden), key="tray")
            await serve_clients()

    async def mend_login() -> None:
        """Have the system start this program at login where it would start one that has moved."""
        from app.core.desktop.autostart import autostart, mend
        from app.core.installation import installation

        data = ("--data", str(services.folder)) if options.data else ()
        window.background.login_command = (*installation().command, *data)
        await asyncio.to_thread(mend, autostart(), window.background.login_command)

    async def keep_links() -> None:
        """Have the system find this program for links after it has moved."""
        from app.core.desktop.link_handler import KEEP_SETTING, keep
        from app.core.installation import installation

        await asyncio.to_thread(keep, installation(), services.storage.settings.get(KEEP_SETTING))

    async def serve_clients() -> None:
        """Start the local proxy. Before a client has a key, nobody waits for it."""
        if not (await services.storage.proxy_clients.all()).keys:
            await asyncio.sleep(UNUSED_PROXY_SECONDS)
        window.attend(services.proxy.approvals)
        if services.proxy.enabled:
            await services.proxy.start()

    def listens(quitting: asyncio.Event) -> InstanceListener | None:
        """Hear of further starts from now on, if this is the window that they hand over to."""
        if lock is None:
            return None
        from app.core.instance.listener import InstanceListener

        listener = InstanceListener(services.folder, lock, window.further_starts.take, ending=quitting.is_set)
        bridge.spawn(window, listener.start(), key="further starts")
        return listener

    async def live(quitting: asyncio.Event) -> int:
        listener = listens(quitting)
        try:
            watch.recorder.watch(asyncio.get_running_loop())
            window.care_for(watch, safe=options.safe_mode)
            connecting.begin(named)
            bridge.spawn(window, settle(), key="settle")
            if options.screenshot:
                from app.ui.screenshot import take_screenshot

                return await take_screenshot(window, options.screenshot, quitting, connecting=named is not None)
            await quitting.wait()
        finally:
            if window.crashes is not None:
                window.crashes.end()
            # What writes goes before what it writes through: the places use the bridge, and every job the services.
            await _tried(window.stack.flush())
            await _tried(window.layout_memory.save())
            if listener is not None:
                # What was typed is stored: the next window may show it, while this one finishes a request.
                await _tried(listener.close())
            await _tried(bridge.close())
            await services.close()
            if held_keys is not None:
                app.removeNativeEventFilter(held_keys)
            for collector in collectors:
                collector.stop()
        return 0

    # The window may be hidden in the tray while a dialog of it closes: `left` says that it is over.
    code = run(app, live, windows=False)
    release_messages()
    return code, window.leaving.again if window.leaving is not None else None


async def _tried(step: Awaitable[None]) -> None:
    """Run a step of the end. A failure, such as a full disk, must not keep the services from being closed."""
    import asyncio
    import logging

    try:
        async with asyncio.timeout(FLUSH_SECONDS):
            await step
    except Exception:
        logging.getLogger(__name__).exception("a step of the end failed")


def _hold_network(services: Services, window: MainWindow) -> None:
    """Hold the HTTP client back until the saved list is shown: importing it would delay that."""
    place = window.place(window.current)
    if place is not None and place.shows_saved:
        services.transport.hold()
        place.saved_shown.connect(services.transport.release)


def _has_display() -> bool:
    """Whether Qt can open a window. Only X11 and Wayland are named by environment variables."""
    if not sys.platform.startswith("linux") or os.environ.get("QT_QPA_PLATFORM") in {"offscreen", "minimal"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="burrow",
        description="A desktop client for PostHog's agent tasks and for MCP servers.",
        epilog="Without a window: burrow login|logout|status|tasks|mcp|update|workspace --help",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workspace", action="store_true", help="open the embedded workspace: no account, no network")
    where.add_argument(
        "--host", type=lambda text: text[:LONGEST_ARGUMENT], help="us, eu, workspace or the address of a server"
    )
    parser.add_argument("--data", metavar="DIR", help="the folder for all data (also BURROW_DATA)")
    parser.add_argument("--offscreen", action="store_true", help="run without a display")
    parser.add_argument(
        "--screenshot", metavar="FILE", help="save a picture of the window once it has loaded, and quit"
    )
    parser.add_argument(
        "--hidden", action="store_true", help="start in the tray, or minimised where the desktop has none"
    )
    parser.add_argument("--place", choices=[place.id for place in PLACES], help="the place to show")
    parser.add_argument(
        safe_mode.OPTION, action="store_true", help="start with the standard look and nothing that starts by itself"
    )
    parser.add_argument(
        "--new-window", action="store_true", help="open another window, though one is open on the same data"
    )
    parser.add_argument("link", nargs="?", type=_link, metavar="LINK", help="a burrow:// link to open")
    parser.add_argument("--version", action="version", version=f"Burrow {__version__}")
    return parser


def _link(text: str) -> str:
    """What looks like a link; whether it is one, the window says."""
    if not text.startswith("burrow:"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a command nor a burrow:// link")
    # One that is longer is refused in any case, and need not be sent.
    return text[:LONGEST_ARGUMENT]
