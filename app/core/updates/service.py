"""Updates: looks for a newer version, downloads it when asked, and says when it may be installed.

Nothing is downloaded or installed without the person's word, and nothing is installed while something would be
interrupted (`core/busy.py`). Installing itself happens after this process has closed everything (`process_ends.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app import __version__
from app.core.errors import BurrowError, Facts, Rejected, StorageTrouble, UpdateRefused
from app.core.events import Event
from app.core.file_lock import file_lock
from app.core.installation import installation
from app.core.private import make_private_folder
from app.core.updates.download import StagedDownload, clear_staged, is_release
from app.core.updates.install import replaced_path, why_fixed
from app.core.updates.looking import look
from app.core.updates.net import UpdateNet
from app.core.updates.record import FOLDER, UpdateRecord, change_record, read_record
from app.core.updates.release import newest, record_of, recorded_release, this_machine
from app.core.updates.source import UpdateSource, WhyOff, source_of
from app.core.updates.status import HOW_ELSE, UpdateState, UpdateStatus
from app.core.updates.version import Version, parse_version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from app.core.auth.http.clients import HttpClients
    from app.core.busy import Busy, Work
    from app.core.installation import InstalledApp
    from app.core.preferences import Stored
    from app.core.updates.download import Pace
    from app.core.updates.record import UpdateOutcome
    from app.core.updates.release import Machine, Release

log = logging.getLogger(__name__)

MODE_SETTING = "updates.mode"
ASK, OFF = "ask", "off"
# What was verified longer ago is verified again before it is installed.
VERIFIED_SECONDS = 86_400.0
LOCK_SECONDS = 2.0


class Updates:
    """The updates of this installation. Everything but the constructor belongs to the loop.

    `changed` emits the status whenever it is another one, on the loop's thread.
    """

    def __init__(
        self,
        folder: Path,
        clients: Callable[[], HttpClients],
        settings: Stored,
        busy: Busy,
        *,
        installed: InstalledApp | None = None,
        source: UpdateSource | WhyOff | None = None,
        machine: Machine | None = None,
        running: str = __version__,
        now: Callable[[], float] = time.time,
        pace: Pace | None = None,
    ) -> None:
        """`folder` is the data folder. What is not given is that of this process."""
        self.installed = installed or installation()
        self.running = running
        self.changed: Event[UpdateStatus] = Event()
        self.busy = busy
        self._data, self._folder = folder, folder / FOLDER
        self._settings, self.now, self._pace = settings, now, pace
        self._net = UpdateNet(clients)
        self._source = source_of(self.installed) if source is None else source
        self._machine = machine or this_machine(self.installed.kind)
        self._working = asyncio.Lock()
        self._armed: Release | None = None
        self._status = UpdateStatus(UpdateState.IDLE)

    @property
    def status(self) -> UpdateStatus:
        """How things stand."""
        why = self.why_off
        # Who has turned updates off may still ask for a look.
        asked = why is WhyOff.CHOSEN and self._status.state is not UpdateState.IDLE
        return self._status if why is None or asked else UpdateStatus(UpdateState.OFF, why_off=why)

    @property
    def why_off(self) -> WhyOff | None:
        """Why there are no updates; None where there are."""
        if isinstance(self._source, WhyOff):
            return self._source
        if parse_version(self.running) is None:
            return WhyOff.SOURCE
        return WhyOff.CHOSEN if self.mode == OFF else None

    @property
    def mode(self) -> str:
        """`ask`, or `off` where the person chose that. A check that is asked for works all the same."""
        return OFF if self._settings.get(MODE_SETTING) == OFF else ASK

    @property
    def possible(self) -> bool:
        """Whether this build has updates at all, whatever the person chose."""
        return isinstance(self._source, UpdateSource) and parse_version(self.running) is not None

    @property
    def place(self) -> Path:
        """The folder of what an update replaces."""
        return replaced_path(self.installed).parent

    @property
    def armed(self) -> Release | None:
        """What is installed when this process has ended and starts again."""
        return self._armed

    def waits_for(self) -> tuple[Work, ...]:
        """What a restart now would interrupt. Work that is kept on disk goes on after it."""
        return self.busy.interrupted()

    async def record(self) -> UpdateRecord:
        """What is remembered."""
        return await asyncio.to_thread(read_record, self._data)

    async def confirm(self) -> UpdateOutcome | None:
        """This version is up. What there is to say of an update, if anything was not said yet. Raises nothing."""
        from app.core.updates.trial import confirm_trial

        try:
            return await asyncio.to_thread(confirm_trial, self._data, self.running)
        except OSError as failure:
            log.warning("the update could not be confirmed: %s", failure)
            return None

    async def outcome_said(self) -> None:
        """What `confirm` returned was said. Raises `StorageTrouble`."""
        outcome = (await self.record()).outcome
        if outcome is not None:
            await self._store(outcome=replace(outcome, said=True))

    async def load(self) -> UpdateStatus:
        """Read what is known from earlier: a downloaded file is ready again. Raises nothing."""
        record = await self.record()
        release = recorded_release(record.staged)
        if release is not None and not self._is_offer(release, record):
            release = None
        state = UpdateState.IDLE
        download = None if release is None else self._download(release)
        received = 0
        if download is not None:
            complete, received = await asyncio.to_thread(_progress, download)
            state = UpdateState.READY if complete else UpdateState.AVAILABLE
        self._set(UpdateStatus(state, release, received, checked=record.checked, skipped=_skips(record, release)))
        return self._status

    async def check(self) -> UpdateStatus:
        """Ask the repository now.

        Raises `UpdateRefused` when what it says cannot be believed, `Rejected` where this build has no updates or
        another process is at it, `StorageTrouble`, and the errors of the network. What was offered stays offered.
        """
        source = self._usable_source()
        async with self._alone():
            before = self._status
            self._set(replace(before, state=UpdateState.CHECKING, trouble=None))
            try:
                return await self._checked(source, before)
            except BurrowError as trouble:
                await self._note_failure(trouble, before)
                raise
            except asyncio.CancelledError:
                self._set(before)
                raise

    async def _checked(self, source: UpdateSource, before: UpdateStatus) -> UpdateStatus:
        record = await self.record()
        # A clock that was set back must not make old information valid again.
        moment = max(self.now(), record.fresh)
        releases = await look(self._net, source, self._folder, moment)
        found, too_new = newest(releases, self._machine)
        changes: dict[str, Any] = {"checked": self.now(), "fresh": moment, "failures": 0, "trouble": ""}
        if found is not None:
            seen = max(filter(None, (parse_version(record.highest), found.version)))
            changes["highest"] = str(seen)
            if found.version < seen and found.version > self._running:
                await self._store(**changes)
                words = f"Burrow {found.version} is offered, but {seen} was already."
                raise UpdateRefused(words, Facts(code="downgrade"))
        nothing = found is None or found.version <= self._running
        if nothing and too_new is not None and too_new.version > self._running:
            await self._store(**changes)
            words = f"Burrow {too_new.version} needs a newer version of this system."
            raise UpdateRefused(words, Facts(code="system"), action="This version goes on working.")
        offer = found if found is not None and self._is_offer(found, record) else None
        changes["staged"] = None if offer is None else record_of(offer)
        record = await self._store(**changes)
        if offer is None:
            await asyncio.to_thread(clear_staged, self._folder)
            status = UpdateStatus(UpdateState.CURRENT, checked=record.checked)
        else:
            complete, received = await asyncio.to_thread(_progress, self._download(offer))
            state = UpdateState.READY if complete else UpdateState.AVAILABLE
            status = UpdateStatus(state, offer, received, checked=record.checked, skipped=_skips(record, offer))
        self._set(status)
        log.info("looked for updates: %s", status.state.value if offer is None else f"Burrow {offer.version}")
        return status

    async def download(self) -> UpdateStatus:
        """Download what is offered, or go on with it.

        Raises like `check`, `Rejected` when nothing is offered, and `StorageTrouble` when it could not be installed.
        """
        source = self._usable_source()
        await self._check_replaceable()
        async with self._alone():
            before = self._status
            release = before.release
            if release is None:
                raise Rejected("No update is known.", action="Look for one first.")
            if before.state is UpdateState.READY:
                return before
            self._set(replace(before, state=UpdateState.DOWNLOADING, trouble=None, skipped=False))
            from app.core.updates.metadata import file_url

            download = self._download(release)
            try:
                await download.run(file_url(source, release))
            except BurrowError as trouble:
                await self._note_failure(trouble, replace(before, received=self._status.received))
                raise
            except BaseException:
                self._set(replace(before, received=self._status.received))
                raise
            log.info("Burrow %s was downloaded and verified", release.version)
            self._set(replace(self._status, state=UpdateState.READY, received=release.length))
            return self._status

    async def discard(self) -> None:
        """Delete what was downloaded. The update stays offered."""
        async with self._alone():
            await asyncio.to_thread(clear_staged, self._folder)
            self._armed = None
            release = self._status.release
            state = UpdateState.IDLE if release is None else UpdateState.AVAILABLE
            self._set(replace(self._status, state=state, received=0))

    async def skip(self) -> None:
        """Say nothing more of the version that is offered. A later one is offered again. Raises `StorageTrouble`."""
        release = self._status.release
        if release is not None:
            await self._store(skipped=str(release.version))
            self._set(replace(self._status, skipped=True))

    async def arm(self) -> Release:
        """Verify what was downloaded once more; it is installed if this process starts again (`handover.py`).

        Raises `Rejected` when nothing is ready or something would be interrupted, `UpdateRefused`, `StorageTrouble`,
        and the errors of the network: what was verified longer than a day ago is verified again.
        """
        self._check_idle()
        await self._check_replaceable()
        record = await self.record()
        if self.now() - record.fresh > VERIFIED_SECONDS or record.fresh > self.now():
            await self.check()
        async with self._alone():
            release = self._status.release
            if release is None or self._status.state is not UpdateState.READY:
                raise Rejected("No update is ready.", action="Download it first.")
            download = self._download(release)
            if not await asyncio.to_thread(is_release, download.path, release):
                await asyncio.to_thread(download.discard)
                self._set(replace(self._status, state=UpdateState.AVAILABLE, received=0))
                words = f"The downloaded file is not the one that was signed as Burrow {release.version}."
                raise UpdateRefused(words, Facts(code="tampered"), action="Download it again.")
            # Meanwhile a call may have begun.
            self._check_idle()
            self._armed = release
            return release

    @property
    def _running(self) -> Version:
        return parse_version(self.running) or Version(0, 0, 0)

    def _usable_source(self) -> UpdateSource:
        if isinstance(self._source, WhyOff) or not self.possible:
            raise Rejected("This installation has no updates of its own.", action=HOW_ELSE.get(self.why_off, ""))
        return self._source

    def _is_offer(self, release: Release, record: UpdateRecord) -> bool:
        """Whether a verified release is newer than all that is known here, and not one that failed here."""
        highest = parse_version(record.highest)
        return (
            release.version > self._running
            and (highest is None or release.version >= highest)
            and str(release.version) not in record.failed
        )

    async def _check_replaceable(self) -> None:
        trouble = await asyncio.to_thread(why_fixed, self.installed)
        if trouble is not None:
            raise trouble

    def _check_idle(self) -> None:
        works = self.waits_for()
        if works:
            raise Rejected(
                f"{works[0].what} would be interrupted.",
                Facts(code="busy"),
                action="Burrow is updated once nothing is under way.",
            )

    def _download(self, release: Release) -> StagedDownload:
        def told(received: int) -> None:
            self._set(replace(self._status, received=received))

        return StagedDownload(self._net, self._folder, release, told, pace=self._pace)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One at a time, in this process and among all of them on the data folder."""
        from filelock import Timeout

        async with self._working:
            lock = file_lock(self._folder / "lock")
            try:
                await asyncio.to_thread(make_private_folder, self._folder)
                await asyncio.to_thread(lock.acquire, timeout=LOCK_SECONDS)
            except Timeout:
                raise Rejected(
                    "Another Burrow is at the update.", Facts(code="locked"), action="Wait until it is done."
                ) from None
            except OSError as failure:
                raise StorageTrouble(f"{self._folder} cannot be used: {failure.strerror}") from None
            try:
                yield
            finally:
                await asyncio.to_thread(lock.release)

    async def _store(self, **changes: Any) -> UpdateRecord:
        try:
            return await asyncio.to_thread(change_record, self._data, **changes)
        except OSError as failure:
            raise StorageTrouble(f"{self._folder} cannot be used: {failure.strerror}") from None

    async def _note_failure(self, trouble: BurrowError, before: UpdateStatus) -> None:
        log.info("an update: %s", trouble.cause)
        record = await self.record()
        now = self.now()
        try:
            await self._store(checked=now, failures=record.failures + 1, trouble=trouble.cause)
        except StorageTrouble:
            log.info("the failure of an update could not be recorded")
        self._set(replace(before, trouble=trouble, checked=now))

    def _set(self, status: UpdateStatus) -> None:
        if status != self._status:
            self._status = status
            self.changed.emit(self.status)


def _skips(record: UpdateRecord, release: Release | None) -> bool:
    return release is not None and record.skipped == str(release.version)


def _progress(download: StagedDownload) -> tuple[bool, int]:
    if is_whole(download):
        return True, download.release.length
    return False, download.have()


def is_whole(download: StagedDownload) -> bool:
    """Whether the verified file of a download is there, without reading it: it is verified before it is installed."""
    try:
        return download.path.stat().st_size == download.release.length
    except OSError:
        return False
