"""Whether two builds of one commit differ in no byte: `packaging/build.py --check-reproducible`, some minutes.

Each build is made from a copy of the checkout in a folder of its own, so that a build path in a file shows.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What must not matter.
OTHERWISE = ({"TZ": "UTC", "LC_ALL": "C.UTF-8"}, {"TZ": "Asia/Tokyo", "LC_ALL": "C", "HOME": "/nonexistent"})
UMASKS = (0o022, 0o077)


def check_reproducible(seconds: str) -> int:
    """Build twice, say what differs, and return the exit code. Raises `CalledProcessError`."""
    with tempfile.TemporaryDirectory(prefix="burrow-") as first, tempfile.TemporaryDirectory() as second:
        places = (Path(first) / "a", Path(second) / "a longer place" / "b")
        one, two = (
            _described(_built(place, {**environment, "SOURCE_DATE_EPOCH": seconds}, umask))
            for place, environment, umask in zip(places, OTHERWISE, UMASKS, strict=True)
        )
    differing = sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
    for name in differing:
        sys.stdout.write(f"differs: {name}: {one.get(name)} {two.get(name)}\n")
    sys.stdout.write(f"{len(one)} files compared, {len(differing)} differ\n")
    return int(bool(differing))


def _built(place: Path, environment: dict[str, str], umask: int) -> Path:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listing.split("\0")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    command = [sys.executable, str(place / "packaging" / "build.py")]
    # Without the checkout's own packages on the path: an editable installation leads to another folder.
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        command,
        cwd=place,
        env={**clean, **environment, "PYTHONPATH": str(place)},
        umask=umask,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return place / "dist" / "burrow"


def _described(folder: Path) -> dict[str, str]:
    """Kind, permissions and content of everything in the folder, by name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = stat.filemode(path.lstat().st_mode)
        if path.is_symlink():
            content = os.readlink(path)
        else:
            content = hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""
        found[str(path.relative_to(folder))] = f"{mode} {int(path.lstat().st_mtime)} {content}"
    return found
