"""Puts a verified file in the place of the installation, and back. Blocks: called when nothing else of Burrow runs.

- An AppImage or another single file: the new one is written beside it, synced, verified, and renamed over it. Whoever
  has the former one open goes on with it. The former one is kept beside it, with `.former` at the end of its name.
- Windows: the installer is started without questions and replaces the files of the ended Burrow.
- macOS: the bundle is copied from the disk image with `ditto`, and exchanged with the former one by renames.

Windows and macOS are run through `Run`, so that the commands can be tested elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import Facts, StorageTrouble, UpdateRefused
from app.core.installation import InstallKind
from app.core.private import make_private_folder, sync_folder
from app.core.updates.download import is_release
from app.core.updates.record import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.installation import Installation
    from app.core.updates.release import Release

    Run = Callable[[Sequence[str]], None]

FORMER, NEW = ".former", ".new"
INSTALLER_SECONDS = 600.0
# Of the installer that packaging/windows makes (Inno Setup, "Setup Command Line Parameters"): no window, no question,
# no restart of the system, and a Burrow that still runs is closed.
SILENT = ("/VERYSILENT", "/SUPPRESSMSGBOXES", "/NORESTART", "/CLOSEAPPLICATIONS")


def replaced_path(installed: Installation) -> Path:
    """The file or bundle that an update replaces."""
    command = Path(installed.command[0])
    if installed.kind is InstallKind.MACOS:
        # Burrow.app/Contents/MacOS/burrow
        return command.parents[2]
    return command.resolve()


def why_fixed(installed: Installation) -> StorageTrouble | None:
    """Why this person cannot replace the installation; None if they can."""
    if installed.kind is InstallKind.WINDOWS:
        # The installer asks for the rights that it needs.
        return None
    target = replaced_path(installed)
    action = f"Put the new file there yourself, or move Burrow to a folder of yours. The folder is {target.parent}."
    try:
        found = target.stat()
    except OSError as failure:
        return StorageTrouble(f"{target} cannot be found: {failure.strerror}.", action=action)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        return StorageTrouble(f"You may not write to {target.parent}, where Burrow is.", action=action)
    if os.name == "posix" and found.st_uid != os.geteuid():
        return StorageTrouble(f"{target} belongs to somebody else.", action=action)
    return None


def install(
    installed: Installation,
    release: Release,
    staged: Path,
    former: str,
    *,
    keep: Callable[[Trial], None],
    run: Run | None = None,
) -> Trial:
    """Replace the installation by the staged file. `keep` stores what is needed to put the former one back.

    It is called before anything is replaced. Raises `UpdateRefused` when a file is not the signed one any more, and
    `StorageTrouble`; what was installed is then as it was.
    """
    trouble = why_fixed(installed)
    if trouble is not None:
        raise trouble
    target = replaced_path(installed)
    try:
        if installed.kind is InstallKind.WINDOWS:
            return _run_installer(target, release, staged, former, keep, run or _run)
        if installed.kind is InstallKind.MACOS:
            return _exchange_bundle(target, release, staged, former, keep, run or _run)
        return _exchange_file(target, release, staged, former, keep)
    except (OSError, subprocess.SubprocessError) as failure:
        raise StorageTrouble(f"{target} could not be replaced: {failure}") from None


def put_back(trial: Trial) -> bool:
    """Put the former version back in its place. Whether it was there. Raises `OSError`."""
    target, backup = Path(trial.target), Path(trial.backup)
    if not trial.backup or not backup.exists():
        return False
    if backup.is_dir():
        rejected = target.with_name(f"{target.name}{NEW}")
        shutil.rmtree(rejected, ignore_errors=True)
        if target.exists():
            os.rename(target, rejected)
        os.rename(backup, target)
        shutil.rmtree(rejected, ignore_errors=True)
    else:
        os.replace(backup, target)
    sync_folder(target.parent)
    return True


def _exchange_file(target: Path, release: Release, staged: Path, former: str, keep: Callable[[Trial], None]) -> Trial:
    new, backup = target.with_name(f".{target.name}{NEW}"), target.with_name(f".{target.name}{FORMER}")
    mode = stat.S_IMODE(target.stat().st_mode) | stat.S_IXUSR
    try:
        _copy_synced(staged, new, mode)
        # Of the copy: what is verified is what is installed.
        if not is_release(new, release):
            raise _refused(release)
        backup.unlink(missing_ok=True)
        try:
            os.link(target, backup)
        except OSError:
            # A file system without links.
            _copy_synced(target, backup, mode)
        trial = Trial(former, str(release.version), str(target), str(backup), release.sha256)
        keep(trial)
        os.replace(new, target)
        sync_folder(target.parent)
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
    return trial


def _copy_synced(source: Path, target: Path, mode: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        target.unlink()
    # Nobody else may write to it before it is verified, whatever the umask is; exclusive, so it is no link either.
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o700)
    with os.fdopen(handle, "wb") as written, source.open("rb") as read:
        shutil.copyfileobj(read, written, 1 << 20)
        written.flush()
        os.fsync(written.fileno())
    target.chmod(mode)


def _run_installer(
    target: Path, release: Release, staged: Path, former: str, keep: Callable[[Trial], None], run: Run
) -> Trial:
    # Windows starts only what has this ending.
    installer = staged.with_name(f"burrow-{release.version}-setup.exe")
    _copy_synced(staged, installer, 0o700)
    try:
        if not is_release(installer, release):
            raise _refused(release)
        trial = Trial(former, str(release.version), str(target), "", release.sha256)
        keep(trial)
        run((str(installer), *SILENT))
    finally:
        with contextlib.suppress(OSError):
            installer.unlink(missing_ok=True)
    return trial


def _exchange_bundle(
    target: Path, release: Release, staged: Path, former: str, keep: Callable[[Trial], None], run: Run
) -> Trial:
    image, mounted = staged.with_name(f"burrow-{release.version}.dmg"), staged.with_name("mounted")
    new, backup = target.with_name(f"{target.name}{NEW}"), target.with_name(f"{target.name}{FORMER}")
    _copy_synced(staged, image, 0o600)
    try:
        if not is_release(image, release):
            raise _refused(release)
        make_private_folder(mounted)
        run(("hdiutil", "attach", "-nobrowse", "-readonly", "-noautoopen", "-mountpoint", str(mounted), str(image)))
        try:
            shutil.rmtree(new, ignore_errors=True)
            run(("ditto", str(mounted / "Burrow.app"), str(new)))
        finally:
            run(("hdiutil", "detach", "-force", str(mounted)))
        # The signature of the bundle is checked beside ours, so that the system starts it without a question.
        run(("codesign", "--verify", "--deep", "--strict", str(new)))
        shutil.rmtree(backup, ignore_errors=True)
        trial = Trial(former, str(release.version), str(target), str(backup), release.sha256)
        keep(trial)
        os.rename(target, backup)
        try:
            os.rename(new, target)
        except OSError:
            os.rename(backup, target)
            raise
        sync_folder(target.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        with contextlib.suppress(OSError):
            image.unlink(missing_ok=True)
    return trial


def _run(command: Sequence[str]) -> None:
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0) if sys.platform == "win32" else 0
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=INSTALLER_SECONDS, creationflags=flags)


def _refused(release: Release) -> UpdateRefused:
    words = f"The downloaded file is not the one that was signed as Burrow {release.version}."
    return UpdateRefused(words, Facts(code="tampered"))
