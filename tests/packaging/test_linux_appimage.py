"""The AppImage, run as an unprivileged person would: with FUSE, without it, moved, linked, cut short, and changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import app
from tests.e2e.window import RunningWindow
from tests.packaging.test_linux_packages import contents, out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.packaging.linux_packages import Packages

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.packaged

NOBODY = 65534
FUSE = Path("/dev/fuse")
ENDS_WITHIN = 10.0


class Person:
    """Someone without privileges: a home, a folder with a space in its name, and the AppImage in it."""

    def __init__(self, home: Path, image: Path) -> None:
        self.home = home
        self.folder = home / "My Programs"
        self.image = self.folder / "Burrow, moved.AppImage"
        self.folder.mkdir()
        shutil.copy(image, self.image)
        self.environment = {"HOME": str(home), "PATH": os.defpath, "TMPDIR": str(home), "LC_ALL": "C.UTF-8"}
        self.user: dict[str, Any] = {}
        if os.geteuid() == 0:
            self.user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            for path in (home, self.folder, self.image):
                os.chown(path, NOBODY, NOBODY)

    def run(self, *words: object, image: Path | None = None, **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(image or self.image), *map(str, words)],
            env=self.environment | changed,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **self.user,
        )

    def start(self, *words: str, **changed: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.image), *words],
            env=self.environment | changed,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            **self.user,
        )

    @property
    def cached(self) -> list[Path]:
        return [path for path in (self.home / ".cache" / "burrow-appimage").glob("*") if path.is_dir()]

    def mounts(self) -> list[str]:
        """Where anything is mounted in this person's home."""
        lines = Path("/proc/self/mounts").read_text("utf-8").splitlines()
        return [line.split()[1] for line in lines if line.split()[1].startswith(str(self.home))]


@pytest.fixture(scope="module", autouse=True)
def fuse_for_everybody() -> None:
    """As udev has it on every system with a desktop (50-udev-default.rules); a container may be without udev."""
    if os.geteuid() == 0 and FUSE.exists():
        FUSE.chmod(0o666)


@pytest.fixture
def person(linux_packages: Packages) -> Iterator[Person]:
    # Not pytest's folder, which only its own user may enter.
    home = Path(out("mktemp", "--directory", "/tmp/burrow-person-XXXXXX").strip())
    try:
        somebody = Person(home, linux_packages.appimage)
        yield somebody
        wait_until(lambda: not somebody.mounts() and not list(home.glob(".mount_*")))
    finally:
        shutil.rmtree(home)


def wait_until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + ENDS_WITHIN
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_file_is_a_program_that_says_it_is_an_appimage(linux_packages: Packages) -> None:
    data = linux_packages.appimage.read_bytes()
    assert data[:4] == b"\x7fELF"
    assert data[8:11] == b"AI\x02"
    offset = int(out(linux_packages.appimage, "--appimage-offset"))
    # The magic number of SquashFS.
    assert data[offset : offset + 4] == b"hsqs"
    assert linux_packages.appimage.name == f"Burrow-{app.__version__}-{os.uname().machine}.AppImage"
    assert os.access(linux_packages.appimage, os.X_OK)


def test_the_machine_needs_no_library_but_the_c_library_to_open_it(linux_packages: Packages) -> None:
    needed = [line for line in out("objdump", "-p", linux_packages.appimage).splitlines() if "NEEDED" in line]
    assert [line.split()[1] for line in needed] == ["libc.so.6"]


def test_it_runs_mounted_and_leaves_nothing_behind(person: Person) -> None:
    done = person.run("--version")
    assert (done.returncode, done.stdout) == (0, f"Burrow {app.__version__}\n"), done.stderr
    assert not person.cached
    wait_until(lambda: not list(person.home.glob(".mount_*")))


def test_it_runs_without_fuse_from_files_that_it_extracts_once(person: Person) -> None:
    # No fusermount3 in these folders; root mounts without it, so the variable is set too.
    bare = {"PATH": str(person.folder)} if person.user else {"APPIMAGE_EXTRACT_AND_RUN": "1"}
    assert person.run("--version", **bare).stdout == f"Burrow {app.__version__}\n"
    (folder,) = person.cached
    program = folder / "usr" / "lib" / "burrow" / "burrow"
    first = program.stat()
    assert person.run("--version", **bare).stdout == f"Burrow {app.__version__}\n"
    assert (program.stat().st_ino, program.stat().st_ctime_ns) == (first.st_ino, first.st_ctime_ns)
    assert not list(person.home.glob(".mount_*"))


def test_burrow_knows_the_file_that_it_was_started_from_even_through_a_link(person: Person) -> None:
    link = person.home / "burrow link"
    link.symlink_to(person.image)
    server = person.start("workspace", "--data", str(person.home / "data"), "--watch-stdin")
    try:
        assert server.stdout is not None
        server.stdout.readline()
        environment = Path(f"/proc/{server.pid}/environ").read_bytes().decode().split("\0")
        values = dict(pair.split("=", 1) for pair in environment if "=" in pair)
        assert values["APPIMAGE"] == str(person.image)
        assert values["APPDIR"] == person.mounts()[0]
        assert values["OWD"] == str(person.home)
        assert values["ARGV0"] == str(person.image)
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=ENDS_WITHIN)
    assert person.run("--version", image=link).returncode == 0


@pytest.mark.x11
def test_its_window_is_found_by_the_desktop_entry(linux_packages: Packages, tmp_path: Path) -> None:
    moved = tmp_path / "a renamed file"
    shutil.copy(linux_packages.appimage, moved)
    with RunningWindow(tmp_path / "window", "--workspace", command=[str(moved)]) as window:
        window.find(re.compile(r"HED-\d+"), "cell")
        # The class is what `StartupWMClass` says; the instance does not come from the name of the file.
        assert window.desktop.xdotool("search", "--onlyvisible", "--class", "^Burrow$")
        assert window.desktop.xdotool("search", "--onlyvisible", "--classname", "^burrow$")
        assert window.quit() == 0


def test_what_was_started_from_it_keeps_its_files_when_the_first_process_ends(person: Person) -> None:
    holder = person.start("--appimage-mount")
    assert holder.stdout is not None
    mounted = Path(holder.stdout.readline().strip())
    command = [str(mounted / "AppRun"), "workspace", "--data", str(person.home / "data")]
    with subprocess.Popen(
        command, env=person.environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **person.user
    ) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            holder.send_signal(signal.SIGINT)
            holder.communicate(timeout=ENDS_WITHIN)
            # Longer than it takes to unmount what nobody uses.
            time.sleep(1.2)
            assert person.mounts() == [str(mounted)]
            assert child.poll() is None
        finally:
            child.kill()
    wait_until(lambda: not person.mounts())


def test_a_signal_to_every_process_of_it_ends_in_an_unmount(person: Person) -> None:
    holder = person.start("--appimage-mount")
    assert holder.stdout is not None
    mounted = holder.stdout.readline().strip()
    helpers = [int(pid) for pid in out("pgrep", "-x", "burrow-mount").split() if _uses(int(pid), person)]
    assert len(helpers) == 1
    for pid in (*helpers, holder.pid):
        os.kill(pid, signal.SIGTERM)
    holder.communicate(timeout=ENDS_WITHIN)
    wait_until(lambda: not person.mounts() and not os.path.lexists(mounted))


def _uses(pid: int, person: Person) -> bool:
    return str(person.home).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_download_that_was_cut_short_is_refused(person: Person) -> None:
    with person.image.open("r+b") as file:
        file.truncate(person.image.stat().st_size - 1)
    for words in ("--version",), ("--appimage-extract-and-run", "--version"), ("--appimage-extract",):
        refused = person.run(*words)
        assert refused.returncode == 1
        assert f"{person.image} is not complete. Download it again." in refused.stderr
        assert not refused.stdout
    assert not person.cached


def test_a_changed_file_is_refused_before_anything_of_it_is_extracted(person: Person) -> None:
    with person.image.open("r+b") as file:
        file.seek(-1_000_000, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    for words in ("--appimage-verify",), ("--appimage-extract-and-run", "--version"), ("--appimage-extract",):
        refused = person.run(*words)
        assert refused.returncode == 1
        assert "is damaged or was changed. Download it again." in refused.stderr
    assert not person.cached
    assert not (person.home / "squashfs-root").exists()


def test_a_cache_that_others_can_write_to_is_not_used(person: Person) -> None:
    cache = person.home / ".cache" / "burrow-appimage"
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    if person.user:
        os.chown(cache.parent, NOBODY, NOBODY)
        os.chown(cache, NOBODY, NOBODY)
    refused = person.run("--appimage-extract-and-run", "--version")
    assert refused.returncode == 1
    assert "must be a folder of yours that nobody else can write to" in refused.stderr


def test_a_file_system_that_runs_no_programs_is_named_with_what_to_do(person: Person) -> None:
    cache = person.home / "no programs"
    cache.mkdir()
    code = 'mount -t tmpfs -o noexec,mode=777 tmpfs "$1" && shift && exec "$@"'
    own_users = [] if person.user else ["--user", "--map-root-user"]
    inside = ["unshare", *own_users, "--mount", "sh", "-c", code, "sh", str(cache)]
    as_person = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if person.user else []
    environment = person.environment | {"XDG_CACHE_HOME": str(cache), "APPIMAGE_EXTRACT_AND_RUN": "1"}
    refused = subprocess.run(
        [*inside, *as_person, str(person.image), "--version"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    assert "is on a file system that runs no programs (noexec)." in refused.stderr
    assert "Set XDG_CACHE_HOME" in refused.stderr


def test_the_files_of_another_version_go_unless_they_are_in_use(person: Person) -> None:
    cache = person.home / ".cache" / "burrow-appimage"
    cache.mkdir(parents=True)
    for name in ("0" * 32, "1" * 32):
        (cache / name).mkdir()
        (cache / f"{name}.lock").touch()
    if person.user:
        for path in (cache.parent, cache, *cache.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    with subprocess.Popen(["flock", "--shared", str(cache / f"{'1' * 32}.lock"), "cat"], stdin=subprocess.PIPE) as user:
        wait_until(lambda: str(user.pid) in out("lslocks", "--raw", "--output", "PID,COMMAND"))
        assert person.run("--appimage-extract-and-run", "--version").returncode == 0
        names = {path.name for path in person.cached}
        assert "0" * 32 not in names
        assert "1" * 32 in names
        assert len(names) == 2
        assert user.stdin is not None
        user.stdin.close()


def test_it_holds_the_same_files_as_the_package(person: Person, linux_packages: Packages, tmp_path: Path) -> None:
    assert person.run("--appimage-extract").returncode == 0
    tree = person.home / "squashfs-root"
    out("dpkg-deb", "--extract", linux_packages.deb, tmp_path)
    for own, theirs in (("usr/lib/burrow", "opt/burrow"), ("usr/share", "usr/share")):
        one, two = contents(tree / own), contents(tmp_path / theirs)
        two = {name: what for name, what in two.items() if not name.startswith(("doc/", "lintian/"))}
        one = {name: what for name, what in one.items() if not name.startswith("licences/appimage-runtime/")}
        assert one.pop("installation.json", "") != two.pop("installation.json", None)
        assert len(one) > 10
        assert one == two
    assert json.loads((tree / "usr/lib/burrow/installation.json").read_text()) == {"kind": "appimage"}
    for name in ("AppRun", "burrow.desktop", "burrow.png", ".DirIcon"):
        assert (tree / name).resolve().is_file(), name
    assert len(list((tree / "usr/lib/burrow/licences/appimage-runtime").iterdir())) == 3


def test_a_pattern_extracts_only_what_matches_it(person: Person) -> None:
    assert person.run("--appimage-extract", "usr/share/applications/*").returncode == 0
    files = [path for path in (person.home / "squashfs-root").rglob("*") if not path.is_dir()]
    assert [path.name for path in files] == ["burrow.desktop"]


def test_nothing_is_extracted_to_where_somebody_else_leads(person: Person) -> None:
    theirs = person.home / "theirs"
    theirs.mkdir(mode=0o777)
    target = person.home / "squashfs-root"
    target.symlink_to(theirs)
    refused = person.run("--appimage-extract")
    assert refused.returncode == 1
    assert "squashfs-root is not a folder of yours" in refused.stderr
    assert not list(theirs.iterdir())


def test_an_unknown_option_of_the_appimage_is_refused(person: Person) -> None:
    refused = person.run("--appimage-unknown")
    assert refused.returncode == 2
    assert "--appimage-extract" in refused.stderr
