"""Whether two builds of this commit are the same bytes: `python3 dev.py package --check`.

The second build differs in what must not matter: its folders, the time zone, the locale, and the permissions that new
files get.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).with_name("package.py")
OTHER = {"TZ": "Asia/Tokyo", "LC_ALL": "C"}


def check(kinds: list[str], *, fast: bool) -> int:
    """Build twice, say which files differ, and return the exit code. Raises `CalledProcessError`."""
    with tempfile.TemporaryDirectory(prefix="burrow-check-") as first, tempfile.TemporaryDirectory() as second:
        one = _digests(_build(Path(first), kinds, {}, 0o022, fast=fast))
        two = _digests(_build(Path(second) / "another place", kinds, OTHER, 0o077, fast=fast))
    differing = sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
    for name in differing:
        sys.stdout.write(f"differs: {name}\n")
    sys.stdout.write(f"{len(one)} files compared, {len(differing)} differ\n")
    return int(bool(differing))


def _build(output: Path, kinds: list[str], environment: dict[str, str], umask: int, *, fast: bool) -> Path:
    command = [sys.executable, str(PACKAGE), *kinds, "--output", str(output), *(["--fast"] if fast else [])]
    subprocess.run(command, env=os.environ | environment, umask=umask, check=True, stdout=subprocess.DEVNULL)
    return output


def _digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
