"""The first process of a root's namespaces: mounts the root, then waits. `unshare` runs it; standard library only.

Its one argument is a JSON object: `stage` (an empty folder that is mounted over), `lower` (folders of the overlay, the
uppermost first), `binds` (folders of this machine that are seen in the root at the same path). It prints its process
id as the caller's namespace counts and ends when its standard input does, however the caller ended. The kernel then
ends everything in the namespace, and with the last process its mounts and its files, which are in memory.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
OPTIONAL_DEVICES = ("fuse",)
LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def build(stage: Path, lower: list[str], binds: list[str]) -> None:
    """Make `stage/root` a whole system; what is written there goes to `stage/upper`, in memory."""
    mount("-t", "tmpfs", "-o", "mode=755", "root", stage)
    for name in ("upper", "work", "root"):
        (stage / name).mkdir()
    root = stage / "root"
    layers = f"lowerdir={':'.join(lower)},upperdir={stage / 'upper'},workdir={stage / 'work'}"
    mount("-t", "overlay", "-o", layers, "root", root)
    mount("-t", "proc", "proc", root / "proc")
    devices = root / "dev"
    mount("-t", "tmpfs", "-o", "mode=755", "dev", devices)
    for name in (*DEVICES, *(name for name in OPTIONAL_DEVICES if os.path.exists(f"/dev/{name}"))):
        (devices / name).touch()
        mount("--bind", f"/dev/{name}", devices / name)
    for name, target in LINKS.items():
        (devices / name).symlink_to(target)
    for name, kind, options in (("pts", "devpts", "newinstance,ptmxmode=666"), ("shm", "tmpfs", "mode=1777")):
        (devices / name).mkdir()
        mount("-t", kind, "-o", options, name, devices / name)
    mount("-t", "tmpfs", "-o", "mode=755", "run", root / "run")
    mount("-t", "tmpfs", "-o", "mode=1777", "tmp", root / "tmp")
    # What systemd's first boot makes, and fusermount3 reads.
    if not (root / "etc" / "mtab").is_symlink():
        (root / "etc" / "mtab").symlink_to("../proc/self/mounts")
    for name in binds:
        inside = root / name.lstrip("/")
        inside.mkdir(parents=True, exist_ok=True)
        mount("--bind", name, inside)


def main() -> None:
    asked = json.loads(sys.argv[1])
    build(Path(asked["stage"]), asked["lower"], asked["binds"])
    # The kernel then removes ended orphans, whose parent this process becomes.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print(os.readlink("/proc/self"), flush=True)  # noqa: T201
    sys.stdin.read()


if __name__ == "__main__":
    main()
