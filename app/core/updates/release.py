"""Release: a signed file that is a version of Burrow for one platform, and which of them is an update for this one.

What a release says of itself is in the `custom` member of its entry in the signed targets metadata (The Update
Framework, section 4.5), below the name `burrow`. It is signed and still read strictly: whoever signs can err too.
"""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from app.core.updates.version import Version, numbers_of, parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.core.installation import InstallKind

# Ten times what a build has. Longer ones are not offered, whoever signed them.
LARGEST = 1 << 30
LONGEST_NOTES = 20_000
LONGEST_PATH = 200
# Folders of plain names. A name has no separator, no drive, and does not begin with a dot.
PATH = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._+-]*/)*[A-Za-z0-9_][A-Za-z0-9._+-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
PLATFORMS = {"linux": "linux", "win32": "windows", "darwin": "macos"}
ARCHITECTURES = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Machine:
    """What a release must be made for. `system` has the numbers of the system's version; on Linux those of glibc."""

    platform: str
    architecture: str
    kind: str
    system: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """`path` names the file in the repository, never on this machine. `length` is in bytes, `released` in Unix seconds.

    `notes` are words of others: whoever shows them makes them safe (`app/marks.py`).
    """

    version: Version
    path: str
    length: int
    sha256: str
    machine: Machine
    notes: str = ""
    released: int = 0


def this_machine(kind: InstallKind) -> Machine:
    """What this process runs on."""
    if sys.platform == "win32":
        system = platform.version()
    elif sys.platform == "darwin":
        system = platform.mac_ver()[0]
    else:
        system = platform.libc_ver()[1]
    architecture = platform.machine().lower()
    return Machine(
        PLATFORMS.get(sys.platform, sys.platform),
        ARCHITECTURES.get(architecture, architecture),
        kind.value,
        numbers_of(system),
    )


def release_of(path: str, length: int, hashes: Mapping[str, str], custom: object) -> Release | None:
    """The release that an entry of the targets metadata describes; None for anything else."""
    said = custom.get("burrow") if isinstance(custom, dict) else None
    sha256 = hashes.get("sha256")
    if not isinstance(said, dict) or not is_safe_path(path) or not 0 < length <= LARGEST:
        return None
    version = parse_version(said.get("version"))
    if version is None or not isinstance(sha256, str) or SHA256.fullmatch(sha256) is None:
        return None
    texts = [said.get(name, "") for name in ("platform", "architecture", "kind", "minimum_system", "notes")]
    released = said.get("released", 0)
    if not all(isinstance(each, str) for each in texts) or type(released) is not int:
        return None
    made_for, architecture, kind, minimum, notes = texts
    machine = Machine(made_for, architecture, kind, numbers_of(minimum))
    return Release(version, path, length, sha256, machine, notes[:LONGEST_NOTES], released)


def is_safe_path(path: str) -> bool:
    """Whether a target's path is a plain relative one."""
    return len(path) <= LONGEST_PATH and PATH.fullmatch(path) is not None


def newest(releases: Iterable[Release], machine: Machine) -> tuple[Release | None, Release | None]:
    """The highest version that runs on `machine`, and the highest that is made for it but needs a newer system."""
    fitting = [release for release in releases if _made_for(release, machine)]
    running = [release for release in fitting if _runs_on(release, machine)]
    others = [release for release in fitting if release not in running]
    return _highest(running), _highest(others)


def _highest(releases: Iterable[Release]) -> Release | None:
    return max(releases, key=lambda release: release.version, default=None)


def _runs_on(release: Release, machine: Machine) -> bool:
    # A system whose version is not known counts as new enough.
    return not machine.system or machine.system >= release.machine.system


def _made_for(release: Release, machine: Machine) -> bool:
    made = release.machine
    return (made.platform, made.architecture, made.kind) == (machine.platform, machine.architecture, machine.kind)


def record_of(release: Release) -> dict[str, Any]:
    """The release as JSON values."""
    return asdict(release) | {"version": str(release.version)}


def recorded_release(staged: dict[str, Any] | None) -> Release | None:
    """The release that `record_of` described; None for anything else."""
    if staged is None:
        return None
    made = staged.get("machine")
    if not isinstance(made, dict):
        return None
    try:
        system = ".".join(map(str, made.get("system", ())))
        custom = {"burrow": {**staged, **made, "minimum_system": system}}
        return release_of(staged["path"], staged["length"], {"sha256": staged["sha256"]}, custom)
    except (KeyError, TypeError, ValueError):
        return None
