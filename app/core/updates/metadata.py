"""Verifies what the repository of updates says, with python-tuf, the reference implementation of The Update Framework.

Roots are followed from the one in the build; timestamp, snapshot and targets are verified with their thresholds,
versions, hashes and expiries (section 5 of the specification). python-tuf is synchronous and takes 100 ms to import, so
all of this runs in a worker thread.
"""

from __future__ import annotations

import logging
import urllib.parse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.core.errors import BurrowError, Facts, Rejected, StorageTrouble, UpdateRefused
from app.core.private import make_private_folder
from app.core.updates.release import is_safe_path, release_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tuf.ngclient.fetcher import FetcherInterface
    from tuf.ngclient.updater import Updater

    from app.core.updates.release import Release
    from app.core.updates.source import UpdateSource

    Fetch = Callable[[str, int], bytes]

log = logging.getLogger(__name__)

METADATA_FOLDER = "metadata"
# Bytes of each file, and how many roots are followed at once. A repository of a thousand releases needs less.
LARGEST_ROOT, LARGEST_TIMESTAMP, LARGEST_SNAPSHOT, LARGEST_TARGETS = 256_000, 16_384, 64_000, 2_000_000
MOST_ROOTS = 32
TOP_LEVEL = ("root", "timestamp", "snapshot", "targets")
EXPIRED = (
    "The update information of {origin} has expired: no new one was published, somebody holds it back, or this"
    " machine's clock is wrong."
)


def verified_releases(source: UpdateSource, folder: Path, fetch: Fetch, now: float) -> tuple[Release, ...]:
    """Every release in the verified targets metadata. Blocks; `folder` is Burrow's private one for updates.

    `fetch(url, limit)` gets a file of at most so many bytes and raises `BurrowError`. `now` is Unix time: what has
    expired by then is refused, even if this machine's clock is behind. Raises `UpdateRefused`, what `fetch` raises, and
    `StorageTrouble`.
    """
    from securesystemslib.exceptions import StorageError
    from tuf.api.exceptions import DownloadError, RepositoryError

    kept = folder / METADATA_FOLDER
    fetcher = _fetcher(fetch)
    try:
        make_private_folder(kept)
        updater = _updater(source, kept, fetcher)
        updater.refresh()
        _check_expiry(kept, now, source.url)
        return tuple(_releases(updater, kept))
    except (OSError, StorageError) as failure:
        raise StorageTrouble(f"{kept} cannot be used: {failure}") from None
    except (RepositoryError, DownloadError) as failure:
        # What the network said explains more than what python-tuf makes of it.
        if fetcher.trouble is not None:
            raise fetcher.trouble from None
        log.info("update metadata is refused: %s: %s", type(failure).__name__, failure)
        raise _refusal(failure, source.url) from None
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as failure:
        log.info("update metadata cannot be read: %r", failure)
        raise UpdateRefused(f"The update information of {_origin(source.url)} cannot be read.") from None


def file_url(source: UpdateSource, release: Release) -> str:
    """Where a release is: by its hash, as repositories with consistent snapshots have it (section 6.2)."""
    if not is_safe_path(release.path):
        raise Rejected("This is no path of a release.")
    folder, slash, name = release.path.rpartition("/")
    return f"{source.targets_url}{urllib.parse.quote(f'{folder}{slash}{release.sha256}.{name}')}"


def _updater(source: UpdateSource, kept: Path, fetcher: FetcherInterface) -> Updater:
    from tuf.ngclient.config import UpdaterConfig
    from tuf.ngclient.updater import Updater

    config = UpdaterConfig(
        max_root_rotations=MOST_ROOTS,
        max_delegations=0,
        root_max_length=LARGEST_ROOT,
        timestamp_max_length=LARGEST_TIMESTAMP,
        snapshot_max_length=LARGEST_SNAPSHOT,
        targets_max_length=LARGEST_TARGETS,
    )
    return Updater(str(kept), source.metadata_url, fetcher=fetcher, config=config, bootstrap=source.root)


def _releases(updater: Updater, kept: Path) -> Iterator[Release]:
    from tuf.api.metadata import Metadata

    # The file was verified a moment ago. It only names the paths; what is believed comes from the updater.
    listed: Metadata[Any] = Metadata.from_file(str(kept / "targets.json"))
    for path in listed.signed.targets:
        if not is_safe_path(path):
            log.warning("a signed release has a path that is not used: %r", path[:100])
            continue
        entry = updater.get_targetinfo(path)
        release = None if entry is None else release_of(path, entry.length, entry.hashes, entry.custom)
        if release is not None:
            yield release


def _check_expiry(kept: Path, now: float, url: str) -> None:
    """python-tuf has compared with this machine's clock. `now` may be later."""
    from tuf.api.metadata import Metadata

    moment = datetime.fromtimestamp(now, UTC)
    for role in TOP_LEVEL:
        if Metadata.from_file(str(kept / f"{role}.json")).signed.is_expired(moment):
            raise UpdateRefused(EXPIRED.format(origin=_origin(url)), Facts(code="expired"))


def _fetcher(fetch: Fetch) -> Any:
    from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
    from tuf.ngclient.fetcher import FetcherInterface

    class Bounded(FetcherInterface):
        """Never asks for more bytes than python-tuf allows for a file."""

        trouble: BurrowError | None = None

        def download_bytes(self, url: str, max_length: int) -> bytes:
            try:
                return fetch(url, max_length)
            except BurrowError as trouble:
                if trouble.facts.code == "too_long":
                    raise DownloadLengthMismatchError(trouble.cause) from None
                # The end of the chain of roots is a file that is missing.
                if trouble.facts.status not in (403, 404) or ".root.json" not in url:
                    self.trouble = trouble
                if trouble.facts.status is not None:
                    raise DownloadHTTPError(trouble.cause, trouble.facts.status) from None
                raise DownloadError(trouble.cause) from None

        def _fetch(self, url: str) -> Iterator[bytes]:
            return iter((self.download_bytes(url, LARGEST_TARGETS),))

    return Bounded()


def _refusal(failure: Exception, url: str) -> UpdateRefused:
    from tuf.api import exceptions

    origin = _origin(url)
    for kind, code, words in (
        (exceptions.ExpiredMetadataError, "expired", EXPIRED),
        (
            exceptions.BadVersionNumberError,
            "older",
            "What {origin} says of updates is older than what is known.",
        ),
        (
            exceptions.UnsignedMetadataError,
            "unsigned",
            "What {origin} says of updates is not signed by its owner.",
        ),
        (exceptions.LengthOrHashMismatchError, "tampered", "What {origin} says of updates was changed."),
        (exceptions.DownloadLengthMismatchError, "too_long", "What {origin} says of updates is longer than it may be."),
    ):
        if isinstance(failure, kind):
            return UpdateRefused(words.format(origin=origin), Facts(code=code))
    return UpdateRefused(f"The update information of {origin} cannot be read.", Facts(code="unreadable"))


def _origin(url: str) -> str:
    from app.core.urls import origin_of

    return origin_of(url)
