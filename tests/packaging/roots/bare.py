"""Bare Debian systems (only what is essential, and apt), made by mmdebstrap once for each state of Debian's archive.

They are kept below `build/roots` of the checkout and never written to again: a test works on an overlay (`root.py`).
The mirror, and how to reach it, are those that this machine's own apt is told to use.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock

ROOTS = Path(__file__).resolve().parents[3] / "build" / "roots"
SUITES = {"bookworm": "12", "trixie": "13"}
PERSON = 1000
MIRROR = "http://deb.debian.org/debian"
SECURITY_MIRROR = "http://deb.debian.org/debian-security"
KEPT_SECONDS = 2 * 86400
MAKE_SECONDS = 300.0
ANSWER_SECONDS = 15.0
HOST_OPTIONS = re.compile(r'^(Acquire::(?:\S*Proxy\S*|Check-Valid-Until|Check-Date|Retries|https?::CA\S*)) "(.*)";$')

# In memory, because apt and dpkg wait for the disk after each step; what is kept is one copy of the result.
RECIPE = """
set -e
memory=$1 finished=$2 suite=$3 person=$4
shift 4
mount -t tmpfs -o mode=755 root "$memory"
mmdebstrap --quiet --mode=root --variant=apt --skip=cleanup/apt/lists --aptopt='Acquire::Languages "none"' \
    --customize-hook='chroot "$1" apt-cache gencaches' "$@" "$suite" "$memory/root" \
    "deb $MIRROR $suite main" "deb $MIRROR $suite-updates main" "deb $SECURITY_MIRROR $suite-security main"
cd "$memory/root"
echo "person:x:$person:$person::/home/person:/bin/sh" >> etc/passwd
echo "person:x:$person:" >> etc/group
mkdir -m 700 home/person
chown "$person:$person" home/person
cp /etc/resolv.conf etc/resolv.conf
echo 127.0.0.1 localhost > etc/hosts
rm -rf "$finished"
cp -a "$memory/root" "$finished"
"""


class NoRoots(Exception):
    """This machine cannot make such a system; the text says why."""


def mirrors() -> tuple[str, str]:
    """Debian's archive and its security updates, as this machine reaches them."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    known = sorted(uri.rstrip("/") for uri in set(listed))
    plain = [uri for uri in known if "security" not in uri]
    secure = [uri for uri in known if "security" in uri]
    return (plain or [MIRROR])[0], (secure or [SECURITY_MIRROR])[0]


def options() -> list[str]:
    """The options of this machine's apt that decide how the archive is reached and what of its age is accepted."""
    dumped = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return [f'{found[1]} "{found[2]}"' for line in dumped.splitlines() if (found := HOST_OPTIONS.match(line))]


def check_machine() -> None:
    """Raises `NoRoots` where roots cannot be made."""
    if sys.platform != "linux":
        raise NoRoots("Debian roots are made on Linux")
    if platform.machine() not in {"x86_64", "aarch64"}:
        raise NoRoots(f"no packages are built for {platform.machine()}")
    if os.geteuid() != 0:
        raise NoRoots("mounts and namespaces of a whole system need root")
    missing = [name for name in ("mmdebstrap", "apt-get", "unshare", "mount") if shutil.which(name) is None]
    if missing:
        raise NoRoots(f"{', '.join(missing)} not installed")
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        raise NoRoots(f"namespaces are refused: {tried.stderr.strip()}")


def state_of_archive(suite: str) -> str:
    """Changes when something in the suite or its security updates does. Raises `NoRoots` where nothing answers."""
    digest = hashlib.sha256(RECIPE.encode())
    mirror, security = mirrors()
    for address in (f"{mirror}/dists/{suite}/InRelease", f"{security}/dists/{suite}-security/InRelease"):
        try:
            with urllib.request.urlopen(address, timeout=ANSWER_SECONDS) as answer:
                digest.update(answer.read())
        except urllib.error.HTTPError:
            raise
        except OSError as error:
            raise NoRoots(f"Debian's archive cannot be reached: {error}") from error
    return digest.hexdigest()[:16]


def bare_root(suite: str) -> Path:
    """The folder of a bare system of that suite, to be read only. Raises `NoRoots`, `CalledProcessError`."""
    check_machine()
    finished = ROOTS / f"{suite}-{state_of_archive(suite)}"
    ROOTS.mkdir(parents=True, exist_ok=True)
    with FileLock(ROOTS / f"{suite}.lock"):
        if not finished.exists():
            _forget_old(suite)
            _make(suite, ROOTS / f"half-made-{suite}")
            (ROOTS / f"half-made-{suite}").rename(finished)
    return finished


def _forget_old(suite: str) -> None:
    """Another run may still use one of today."""
    for folder in ROOTS.glob(f"{suite}-*"):
        if time.time() - folder.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(folder)


def _make(suite: str, target: Path) -> None:
    mirror, security = mirrors()
    memory = ROOTS / f"memory-{suite}"
    memory.mkdir(exist_ok=True)
    try:
        asked = [f"--aptopt={option}" for option in options()]
        recipe = ["sh", "-c", RECIPE, "make", str(memory), str(target), suite, str(PERSON), *asked]
        made = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", *recipe],
            env=os.environ | {"MIRROR": mirror, "SECURITY_MIRROR": security},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=MAKE_SECONDS,
            check=False,
        )
    finally:
        memory.rmdir()
    assert made.returncode == 0, made.stdout
