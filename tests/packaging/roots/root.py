"""A Debian system in namespaces of its own: an overlay in memory over a bare one, entered like a machine of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.packaging.roots.bare import PERSON

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HERE = Path(__file__).resolve().parent
STOP_SECONDS = 20.0
LAST_WORDS = 4000
LOOK_AGAIN_SECONDS = 0.05
X_SOCKETS = "/tmp/.X11-unix"
# Of apt and dpkg themselves, and what only exists while the system runs.
STATE_OF_APT = ("var/lib/dpkg", "var/lib/apt", "var/cache/apt", "var/cache/debconf", "var/log")
RUNNING = ("proc", "sys", "dev", "run", "tmp")


def wait_until(condition: Callable[[], bool], seconds: float = STOP_SECONDS) -> None:
    """Look again and again until it holds, for what no process or socket tells of."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(LOOK_AGAIN_SECONDS)


class Root:
    """`with Root(bare_root("trixie")) as root:` a system that is gone, with all its processes, when the block is left.

    `root.branch()` is another one that begins with what this one has, which must not change from then on. `shared` is a
    folder that the system, its person and this machine see under one path. X servers of this machine can be reached.
    """

    def __init__(self, *lower: Path, parent: Root | None = None) -> None:
        self.lower = lower
        self._parent = parent
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        place = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="burrow-root-")))
        place.chmod(0o755)
        self._stage = place / "stage"
        self.shared = place / "shared"
        for folder in (self._stage, self.shared):
            folder.mkdir()
        os.chown(self.shared, PERSON, PERSON)
        Path(X_SOCKETS).mkdir(mode=0o1777, exist_ok=True)
        asked = {"stage": str(self._stage), "lower": [*map(str, self.lower)], "binds": [X_SOCKETS, str(self.shared)]}
        namespaces = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        command = [*namespaces, sys.executable, "-I", str(HERE / "first_process.py"), json.dumps(asked)]
        if self._parent is not None:
            command = self._parent.outside(*command)
        self._first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._stack.callback(self._stop)
        assert self._first.stdout is not None
        try:
            self._id = int(self._first.stdout.readline() or 0)
            assert self._id, f"the root did not start (exit code {self._first.wait(STOP_SECONDS)})"
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def branch(self) -> Root:
        return Root(self._stage / "upper", *self.lower, parent=self)

    @property
    def folder(self) -> Path:
        """The system's files as this machine sees them; absolute links in it lead out of it."""
        return Path(f"/proc/{self._id}/root{self.inner}")

    def command(self, *command: str, person: bool = False) -> list[str]:
        """What runs this command in the system, by its superuser or its ordinary user."""
        return self._enter(str(self.inner), PERSON if person else 0, command)

    def outside(self, *command: str) -> list[str]:
        """What runs a program of this machine that sees the system's files, below `inner`."""
        return self._enter("/", 0, command)

    @property
    def inner(self) -> Path:
        """Where the programs of `outside` see the system's files."""
        return self._stage / "root"

    def variables(self, *, person: bool = False, **more: str) -> dict[str, str]:
        """The whole environment of a fresh login; nothing of this machine's."""
        name, home = ("person", "/home/person") if person else ("root", "/root")
        path = (
            "/usr/local/bin:/usr/bin:/bin" if person else "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        )
        return {"PATH": path, "HOME": home, "USER": name, "LOGNAME": name, "LANG": "C.UTF-8", **more}

    def run(
        self,
        *command: str,
        person: bool = False,
        seconds: float = 120.0,
        check: bool = True,
        variables: Mapping[str, str] | None = None,
        text: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """The command's outcome; a failure is one of the test, with what the command said, unless `check` is false."""
        done = subprocess.run(
            self.command(*command, person=person),
            env=self.variables(person=person, **(variables or {})),
            input=text or "",
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        said = f"{done.stdout[-LAST_WORDS:]}{done.stderr[-LAST_WORDS:]}"
        assert not check or done.returncode == 0, f"{command} ended with {done.returncode}:\n{said}"
        return done

    def apt(self, *arguments: str, seconds: float = 240.0) -> str:
        """What `apt-get` printed, with the network settings of this machine's variables."""
        proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        options = {"DEBIAN_FRONTEND": "noninteractive", **proxies}
        return self.run("apt-get", "-q", "-y", *arguments, variables=options, seconds=seconds).stdout

    def files(self) -> dict[str, str]:
        """Everything on the system's disk but the state of apt: path to kind, permissions, owner, size or target."""
        found: dict[str, str] = {}
        apart = {str(self.folder / name) for name in (*STATE_OF_APT, *RUNNING)}
        for place, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if os.path.join(place, name) not in apart]
            for name in (*folders, *names):
                path = os.path.join(place, name)
                about = os.lstat(path)
                size = "" if os.path.isdir(path) and not os.path.islink(path) else str(about.st_size)
                detail = os.readlink(path) if os.path.islink(path) else size
                found[os.path.relpath(path, self.folder)] = f"{about.st_mode:o} {about.st_uid} {detail}"
        return found

    def processes(self) -> dict[int, str]:
        """Command lines of all that runs in the system, by the system's own ids, without its first process."""
        found = {}
        for place in (self.folder / "proc").iterdir():
            if place.name.isdecimal() and place.name != "1":
                try:
                    words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                except OSError:
                    continue
                if words:
                    found[int(place.name)] = words
        return found

    def _enter(self, root: str, user: int, command: Sequence[str]) -> list[str]:
        return [sys.executable, "-I", "-S", str(HERE / "enter.py"), str(self._id), root, str(user), *command]

    def _stop(self) -> None:
        assert self._first.stdin is not None
        self._first.stdin.close()
        try:
            self._first.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._first.kill()
            self._first.wait(STOP_SECONDS)
        if self._first.stdout is not None:
            self._first.stdout.close()
