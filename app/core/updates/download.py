"""StagedDownload: the file of a release in pieces, resumed where it stopped, used only after its hash was verified.

The pieces are in `updates/staged`, named by the signed hash, so those of two releases never meet. Beside them is the
validator of the server's answer (RFC 9110 section 8.8): a range is asked for only of the same representation
(`If-Range`, section 13.1.5). Whatever a server sends then, the hash of the whole decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import shutil
from typing import IO, TYPE_CHECKING, NamedTuple

from app.core.errors import Facts, ServerTrouble, StorageTrouble, TimedOut, UpdateRefused
from app.core.private import make_private_folder, open_private, replace_private
from app.core.updates.net import refusal
from app.core.urls import origin_if_any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from app.core.updates.net import UpdateNet
    from app.core.updates.release import Release

STAGED_FOLDER = "staged"
WRITE_BYTES = 1 << 18
# What must stay free on the disk beside the file.
SPARE_BYTES = 32 << 20
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})")
STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')


class Pace(NamedTuple):
    """A server that sends fewer than `least` bytes in `seconds` does not send the file: the connection is ended."""

    seconds: float = 60.0
    least: int = 1 << 16


class StagedDownload:
    """Downloads one release into `folder`. `told` hears how many bytes there are."""

    def __init__(
        self, net: UpdateNet, folder: Path, release: Release, told: Callable[[int], None], *, pace: Pace | None = None
    ) -> None:
        self._net, self.release, self._told, self._pace = net, release, told, pace or Pace()
        self._folder = folder / STAGED_FOLDER
        self.path = self._folder / release.sha256
        self.part = self._folder / f"{release.sha256}.part"
        self._tag = self._folder / f"{release.sha256}.tag"

    async def run(self, url: str) -> Path:
        """The verified file.

        Raises `UpdateRefused` when what comes is not what was signed, `StorageTrouble`, and the errors of the network,
        after which a later call goes on where this one stopped.
        """
        try:
            return await self._run(url)
        except OSError as failure:
            if failure.errno in FULL:
                # It would keep the disk full for everybody.
                await asyncio.to_thread(self.discard)
            raise _storage_trouble(self._folder, failure) from None

    async def _run(self, url: str) -> Path:
        if await asyncio.to_thread(self._prepare):
            return self.path
        have = await asyncio.to_thread(self.have)
        resumed = have > 0
        if have < self.release.length:
            resumed = await self._fetch(url, have)
        if not await asyncio.to_thread(self._verify_part):
            if not resumed:
                raise self._refused(url)
            # The pieces were of two files. The server gets one chance to send one.
            await self._fetch(url, 0)
            if not await asyncio.to_thread(self._verify_part):
                raise self._refused(url)
        return self.path

    def discard(self) -> None:
        """Delete what there is of it. Raises nothing."""
        for path in (self.path, self.part, self._tag):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _prepare(self) -> bool:
        """Whether the whole file is there. Files of other releases are deleted, and the disk must have room."""
        make_private_folder(self._folder)
        for path in self._folder.iterdir():
            if not path.name.startswith(self.release.sha256):
                with contextlib.suppress(OSError):
                    path.unlink()
        if self.path.exists():
            if is_release(self.path, self.release):
                return True
            self.path.unlink()
        missing = self.release.length - self.have()
        if shutil.disk_usage(self._folder).free < missing + SPARE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return False

    def have(self) -> int:
        """How many bytes there are of an unfinished file. Raises `OSError`."""
        try:
            have = self.part.stat().st_size
        except FileNotFoundError:
            return 0
        if have > self.release.length:
            self.part.unlink()
            return 0
        return have

    async def _fetch(self, url: str, have: int) -> bool:
        """Get the rest, or the whole again. Whether it was the rest of what had been there."""
        origin = origin_if_any(url) or ""
        headers = {}
        if have:
            tag = await asyncio.to_thread(self._read_tag)
            headers = {"Range": f"bytes={have}-"} | ({"If-Range": tag} if tag else {})
        async with self._net.stream(url, headers) as response:
            start = _start_of(response, have, self.release.length)
            if start is not None:
                await asyncio.to_thread(self._keep_tag, response.headers.get("etag", ""))
                await self._save(response, start, origin)
                return start > 0
        if have and response.status_code in (206, 416):
            # The server has another file than the one that was begun.
            return await self._fetch(url, 0)
        raise refusal(response.status_code, origin)

    async def _save(self, response: httpx.Response, start: int, origin: str) -> None:
        with await asyncio.to_thread(self._opened, start) as file:
            received, buffer = start, bytearray()
            loop = asyncio.get_running_loop()
            # Of the pace: when the present stretch began, and with how many bytes.
            since, at = loop.time(), received
            try:
                async for chunk in self._net.chunks(response, origin):
                    if received + len(chunk) > self.release.length:
                        # Not a byte more than was signed is written.
                        await asyncio.to_thread(self.discard)
                        raise self._refused(origin)
                    received += len(chunk)
                    buffer += chunk
                    if len(buffer) >= WRITE_BYTES:
                        full, buffer = buffer, bytearray()
                        await asyncio.to_thread(file.write, full)
                    self._told(received)
                    if loop.time() - since > self._pace.seconds:
                        if received - at < self._pace.least:
                            raise TimedOut(f"{origin} sends the update too slowly.", Facts(origin=origin))
                        since, at = loop.time(), received
            finally:
                # What came is kept, whatever ended the connection: the next attempt goes on after it.
                if not file.closed:
                    await asyncio.shield(asyncio.to_thread(_write_rest, file, buffer))
            if received < self.release.length:
                words = f"The connection to {origin} broke before the update was complete."
                raise ServerTrouble(words, Facts(origin=origin))

    def _opened(self, start: int) -> IO[bytes]:
        # Nothing but this process writes here (`updates/lock`), and nothing follows a link out of the folder.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(open_private(str(self.part), flags), "r+b")
        file.truncate(start)
        file.seek(start)
        return file

    def _verify_part(self) -> bool:
        """Whether the part is the file that was signed. If so it has its own name now, else it is gone."""
        if not is_release(self.part, self.release):
            self.discard()
            return False
        os.replace(self.part, self.path)
        with contextlib.suppress(OSError):
            self._tag.unlink(missing_ok=True)
        return True

    def _read_tag(self) -> str:
        try:
            tag = self._tag.read_text("ascii")
        except (OSError, ValueError):
            return ""
        return tag if STRONG_TAG.fullmatch(tag) else ""

    def _keep_tag(self, tag: str) -> None:
        # A weak one says nothing about bytes (RFC 9110 section 8.8.1).
        if STRONG_TAG.fullmatch(tag):
            replace_private(self._tag, tag, prefix=f"{self.release.sha256}.tag-")
        else:
            self._tag.unlink(missing_ok=True)

    def _refused(self, url: str) -> UpdateRefused:
        origin = origin_if_any(url) or url
        words = f"What {origin} sent is not the file that was signed as Burrow {self.release.version}."
        return UpdateRefused(words, Facts(code="tampered", origin=origin))


def clear_staged(folder: Path) -> None:
    """Delete everything that was downloaded. Raises nothing."""
    shutil.rmtree(folder / STAGED_FOLDER, ignore_errors=True)


def is_release(path: Path, release: Release) -> bool:
    """Whether the file at `path` is the one that was signed. Reads it in pieces. Raises `OSError`."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != release.length:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == release.sha256
    except FileNotFoundError:
        return False


def _write_rest(file: IO[bytes], rest: bytearray) -> None:
    file.write(rest)
    file.flush()
    os.fsync(file.fileno())


def _start_of(response: httpx.Response, have: int, length: int) -> int | None:
    """At which byte of the file the body begins; None for an answer that has no part of it."""
    if response.status_code == 200:
        return 0
    if response.status_code != 206 or not have:
        return None
    found = CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
    if found is None or (int(found[1]), int(found[3])) != (have, length):
        return None
    return have


def _storage_trouble(folder: Path, failure: OSError) -> StorageTrouble:
    if failure.errno in FULL:
        return StorageTrouble(f"There is not enough room for the update in {folder}.", action="Free some disk space.")
    return StorageTrouble(f"{folder} cannot be used: {failure.strerror or failure}")
