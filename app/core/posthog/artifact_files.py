"""Saves a file of a run on this machine: bounded, whole or not at all, under a name that is only a name."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

from app.core.errors import BurrowError, Facts, NotFound, ProtocolTrouble, Rejected
from app.marks import revealed_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.core.posthog.runs import Runs
    from app.core.posthog.types import RunArtifact

LARGEST_ARTIFACT = 1024**3
LONGEST_NAME_BYTES = 200
# Names that Windows takes for devices, with any suffix
# (https://learn.microsoft.com/windows/win32/fileio/naming-a-file).
DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{each}{n}" for each in ("com", "lpt") for n in range(1, 10))})
FORBIDDEN = frozenset('<>:"/\\|?*')
PREFIX = ".burrow-download-"


class NotSaved(BurrowError):
    """The file cannot be written on this machine."""

    title = "The file was not saved"
    action = "Choose another folder, or make room."


def file_name(name: str) -> str:
    """A name that a server gave, as the name of a file on any system: no path, no control or hidden characters."""
    base = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = revealed_name(base)
    kept = "".join("_" if each in FORBIDDEN or not each.isprintable() else each for each in shown)
    # A leading dot would hide it, a trailing one is dropped by Windows.
    kept = kept.strip(" .").lstrip("-")
    kept = kept.encode("utf-8", "replace").decode("utf-8")
    stem, dot, suffix = kept.rpartition(".")
    while len(kept.encode()) > LONGEST_NAME_BYTES:
        stem = (stem or suffix)[:-1]
        kept = f"{stem}{dot}{suffix}" if dot and len(suffix) < 20 else stem
    if kept.partition(".")[0].lower() in DEVICES:
        kept = f"_{kept}"
    return kept or "file"


async def save_artifact(
    runs: Runs,
    task: str,
    run: str,
    artifact: RunArtifact,
    target: Path,
    progress: Callable[[int], None],
    *,
    replace: bool = False,
) -> Path:
    """Save a file of a run as `target`. `progress` is told how many bytes have come.

    Whoever cancels it leaves nothing behind. Raises `NotSaved`, `Rejected` for a target that is there, unless it may be
    replaced, `ProtocolTrouble` for more than 1 GB or for less than was announced, and what requests raise.
    """
    if artifact.size is not None and artifact.size > LARGEST_ARTIFACT:
        raise _too_large(artifact)
    if not replace and await asyncio.to_thread(os.path.lexists, target):
        raise _there(target)
    try:
        handle, temporary = await asyncio.to_thread(tempfile.mkstemp, dir=target.parent, prefix=PREFIX)
    except OSError as failure:
        raise _not_saved(target, failure) from None
    try:
        try:
            size = await _write(runs, task, run, artifact, handle, progress)
        finally:
            # An open file cannot be moved on Windows.
            os.close(handle)
        if artifact.size is not None and size != artifact.size:
            raise ProtocolTrouble(f"{artifact.name} has {artifact.size:,} bytes, and {size:,} came.")
        await asyncio.to_thread(_put, temporary, target, replace=replace)
    except OSError as failure:
        raise _not_saved(target, failure) from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    return target


async def _write(
    runs: Runs, task: str, run: str, artifact: RunArtifact, handle: int, progress: Callable[[int], None]
) -> int:
    size = 0
    try:
        async with runs.reading(task, run, artifact.storage_path) as answer:
            async for chunk in answer.chunks():
                size += len(chunk)
                if size > LARGEST_ARTIFACT:
                    raise _too_large(artifact)
                await asyncio.to_thread(_write_all, handle, chunk)
                progress(size)
    except NotFound:
        if size:
            raise
        # A server that stores its files elsewhere gives no addresses.
        content = await runs.download(task, run, artifact.storage_path)
        await asyncio.to_thread(_write_all, handle, content)
        size = len(content)
        progress(size)
    return size


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _put(temporary: str, target: Path, *, replace: bool) -> None:
    if replace:
        os.replace(temporary, target)
        return
    try:
        # Unlike a rename, it never takes the place of a file that has come meanwhile.
        os.link(temporary, target)
    except FileExistsError:
        raise _there(target) from None
    except OSError:
        # A file system without links.
        if os.path.lexists(target):
            raise _there(target) from None
        os.rename(temporary, target)


def _there(target: Path) -> Rejected:
    return Rejected(f"{target} is there already.", Facts(attr="target"), action="Choose another name.")


def _too_large(artifact: RunArtifact) -> ProtocolTrouble:
    return ProtocolTrouble(
        f"{artifact.name} has more than {LARGEST_ARTIFACT // 2**30} GB.", action="Download it in the browser."
    )


def _not_saved(target: Path, failure: OSError) -> NotSaved:
    return NotSaved(f"{target} cannot be written: {failure.strerror or failure}.")
