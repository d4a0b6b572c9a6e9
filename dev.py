"""One command for a fresh checkout: makes .venv from the lock file, then runs, tests, measures or packages Burrow.

Standard library only, because it runs before anything is installed. `python3 dev.py --help` lists the commands.
The environment is exactly packaging/requirements-dev.lock (hashes checked) plus this checkout, editable; a stamp in
.venv says which lock and which Python it was made from, so a second run starts at once and works offline.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "burrow-stamp"
LOCK = ROOT / "packaging" / "requirements.lock"
DEV_LOCK = ROOT / "packaging" / "requirements-dev.lock"
LAST_PYTHON = (3, 14)
ON_LINUX = sys.platform.startswith("linux")


@dataclass(frozen=True)
class Need:
    """A library (by soname), program (any of `a|b`) or file the system must offer, and its Debian package."""

    what: str
    package: str

    def present(self) -> bool:
        if self.what.startswith("/"):
            return Path(self.what).exists()
        if ".so" not in self.what:
            return any(shutil.which(name) for name in self.what.split("|"))
        try:
            ctypes.CDLL(self.what)
        except OSError:
            return False
        return True


OFFSCREEN = (
    Need("libGL.so.1", "libgl1"),
    Need("libEGL.so.1", "libegl1"),
    Need("libxkbcommon.so.0", "libxkbcommon0"),
    Need("libdbus-1.so.3", "libdbus-1-3"),
    Need("libfontconfig.so.1", "libfontconfig1"),
    Need("libglib-2.0.so.0", "libglib2.0-0"),
)
WAYLAND = (Need("libwayland-cursor.so.0", "libwayland-cursor0"),)
X11 = (
    Need("libxkbcommon-x11.so.0", "libxkbcommon-x11-0"),
    Need("libxcb-cursor.so.0", "libxcb-cursor0"),
    Need("libxcb-icccm.so.4", "libxcb-icccm4"),
    Need("libxcb-keysyms.so.1", "libxcb-keysyms1"),
    Need("libxcb-shape.so.0", "libxcb-shape0"),
)
BUILD = (Need("strip", "binutils"),)
TESTS = (
    Need("Xvfb", "xvfb"),
    Need("xauth", "xauth"),
    Need("openbox", "openbox"),
    Need("xdotool", "xdotool"),
    Need("import", "imagemagick"),
    Need("dbus-daemon", "dbus"),
    Need("gnome-keyring-daemon", "gnome-keyring"),
    Need("gio", "libglib2.0-bin"),
    Need("xdg-open", "xdg-utils"),
    Need("xprop", "x11-utils"),
    Need("sway", "sway"),
    Need("desktop-file-validate", "desktop-file-utils"),
    Need("dunst", "dunst"),
    Need("trayer", "trayer"),
    Need("xrandr", "x11-xserver-utils"),
    Need("/usr/libexec/at-spi-bus-launcher", "at-spi2-core"),
    Need("chromium|chromium-browser|google-chrome", "chromium"),
    Need("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "fonts-dejavu-core"),
    Need("makensis", "nsis"),
    Need("7z", "p7zip-full"),
)
# What each kind of package is built with, beside the one-folder build.
PACKAGE_TOOLS: Mapping[str, tuple[Need, ...]] = {
    "deb": (Need("dpkg-deb", "dpkg"),),
    "rpm": (Need("rpmbuild", "rpm"),),
    "appimage": (
        Need("mksquashfs", "squashfs-tools"),
        Need("gcc", "gcc"),
        Need("/usr/include/stdio.h", "libc6-dev"),
        Need("/usr/include/squashfuse/ll.h", "libsquashfuse-dev"),
        Need("/usr/include/fuse3/fuse_lowlevel.h", "libfuse3-dev"),
        Need("/usr/include/zstd.h", "libzstd-dev"),
    ),
}
EVERY_PACKAGE = tuple(need for needs in PACKAGE_TOOLS.values() for need in needs)
# The bare systems that packages are installed into.
SYSTEMS = (
    Need("mmdebstrap", "mmdebstrap"),
    Need("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"),
)
# A compositor for Wayland that needs nothing of the system below.
COMPOSITOR = (Need("weston", "weston"),)
# What the tests read packages with.
PACKAGE_TESTS = (
    Need("desktop-file-validate", "desktop-file-utils"),
    Need("appstreamcli", "appstream"),
    Need("mandoc", "mandoc"),
    Need("cpio", "cpio"),
    Need("zstd", "zstd"),
    Need("gpg", "gnupg"),
    Need("fusermount3", "fuse3"),
    Need("bash", "bash"),
    Need("zsh", "zsh"),
    Need("fish", "fish"),
)
NEEDS: Mapping[str, tuple[Need, ...]] = {
    "run": OFFSCREEN + X11,
    "test": OFFSCREEN + X11 + WAYLAND + BUILD + TESTS + EVERY_PACKAGE + PACKAGE_TESTS + SYSTEMS,
    "bench": OFFSCREEN + X11 + BUILD + TESTS,
    "package": OFFSCREEN + X11 + BUILD,
}


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def stop(words: str) -> NoReturn:
    say(words)
    raise SystemExit(1)


def python_trouble(version: tuple[int, int]) -> str | None:
    """Why this Python cannot be used, or None."""
    if (3, 11) <= version <= LAST_PYTHON:
        return None
    return (
        f"Burrow needs CPython 3.11 to {LAST_PYTHON[0]}.{LAST_PYTHON[1]}; this is {version[0]}.{version[1]}"
        f" ({sys.executable}). Run dev.py with another one, for example: python3.11 dev.py run"
    )


def os_release(text: str) -> dict[str, str]:
    """The fields of /etc/os-release (os-release(5)), unquoted."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name: "".join(shlex.split(value)) for name, value in pairs}


def this_system() -> dict[str, str]:
    path = Path("/etc/os-release")
    return os_release(path.read_text(encoding="utf-8")) if path.exists() else {}


def is_debian(release: Mapping[str, str]) -> bool:
    return "debian" in (release.get("ID", ""), *release.get("ID_LIKE", "").split())


def debian_name(package: str, release: Mapping[str, str]) -> str:
    """The package's name in this release: the 64-bit time transition renamed GLib in Debian 13 and Ubuntu 24.04."""
    renamed_in = 24.04 if "ubuntu" in (release.get("ID"), *release.get("ID_LIKE", "").split()) else 13.0
    version = release.get("VERSION_ID", "")
    old = version.replace(".", "", 1).isdigit() and float(version) < renamed_in
    return package if old or package != "libglib2.0-0" else "libglib2.0-0t64"


def missing(needs: Sequence[Need]) -> list[Need]:
    return [need for need in needs if not need.present()]


def missing_words(lacking: Sequence[Need], release: Mapping[str, str]) -> str:
    """What to tell a person who must install these themselves."""
    packages = " ".join(debian_name(need.package, release) for need in lacking)
    if is_debian(release):
        return (
            "Some system packages are missing. Install them, then run this again:\n"
            f"  sudo apt-get update && sudo apt-get install -y --no-install-recommends {packages}"
        )
    names = ", ".join(need.what for need in lacking)
    return f"Missing on this system: {names}.\nTheir Debian packages, for finding yours: {packages}"


def provide(needs: Sequence[Need]) -> None:
    """Install what is missing with apt where we may, else say the exact command and stop."""
    lacking = missing(needs)
    if not lacking:
        return
    release = this_system()
    if not can_install():
        stop(missing_words(lacking, release))
    packages = [debian_name(need.package, release) for need in lacking]
    say(f"Installing system packages: {' '.join(packages)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    update = ["apt-get", "update", "-q"]
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    for command in (update, install):
        if subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode:
            stop(f"This failed, see above: {shlex.join(command)}")
    if missing(needs):
        stop(f"Installed, but still missing: {', '.join(need.what for need in missing(needs))}")


def venv_program(name: str, folder: Path = VENV) -> Path:
    return folder / "Scripts" / f"{name}.exe" if sys.platform == "win32" else folder / "bin" / name


def wanted_stamp() -> str:
    """What the environment must have been made from: the lock, the project file, this Python and this place."""
    python = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor} {sys.base_prefix}"
    parts = (DEV_LOCK.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), python.encode(), str(ROOT).encode())
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def environment_is_ready() -> bool:
    """True when .venv was finished for exactly this lock and Python; anything half-made is not."""
    try:
        return STAMP.read_text(encoding="ascii") == wanted_stamp() and venv_program("python").exists()
    except (OSError, ValueError):
        return False


def make_venv(folder: Path) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        name = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        provide((Need(str(Path(os.__file__).parent / "ensurepip"), name),))
        importlib.invalidate_caches()
    # In a child, because Debian's venv module looks for ensurepip only once, when it is imported.
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)


def pip(folder: Path, *arguments: str) -> None:
    """Run the environment's own pip, untouched by the person's site packages and --user default."""
    command = [str(venv_program("python", folder)), "-I", "-m", "pip", "install", "--quiet", *arguments]
    quiet = {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(command, cwd=ROOT, env=os.environ | quiet, stdout=sys.stderr, check=True)


def set_up() -> None:
    """Make .venv what the lock says, from scratch unless its stamp says that it already is."""
    if environment_is_ready():
        return
    say("Setting up .venv from packaging/requirements-dev.lock (about a minute, needs the network once)")
    STAMP.unlink(missing_ok=True)
    try:
        make_venv(VENV)
        pip(VENV, "--require-hashes", "--only-binary", ":all:", "--requirement", str(DEV_LOCK))
        pip(VENV, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    except subprocess.CalledProcessError as error:
        stop(f"Setting up .venv failed, see above: {shlex.join(error.cmd)}\nRun the same command again to retry.")
    STAMP.write_text(wanted_stamp(), encoding="ascii")


def hand_over(*command: str | Path) -> NoReturn:
    """Become the program, so that signals and the exit code are its own; on Windows wait for it."""
    words = [str(word) for word in command]
    if os.name == "posix":
        os.chdir(ROOT)
        os.execv(words[0], words)
    raise SystemExit(subprocess.call(words, cwd=ROOT))


def without_display(arguments: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """What to say when a window cannot open here, or None when it can (or none is asked for)."""
    chosen = environment.get("QT_QPA_PLATFORM", "")
    shown = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY") or chosen not in ("", "xcb", "wayland")
    if not ON_LINUX or shown or "--offscreen" in arguments:
        return None
    return (
        "There is no display (DISPLAY and WAYLAND_DISPLAY are unset): use one, for example"
        " `Xvfb :99 & DISPLAY=:99 python3 dev.py run`, or draw to a file:"
        f" `{venv_program('burrow').relative_to(ROOT)} --offscreen --screenshot FILE --workspace`"
    )


def run(arguments: Sequence[str]) -> NoReturn:
    words = without_display(arguments, os.environ)
    if words is not None:
        stop(words)
    hand_over(venv_program("python"), "-m", "app", "--workspace", *arguments)


def bench(arguments: Sequence[str]) -> int:
    """Run every benchmark, or the named one with the rest as its arguments."""
    scripts = {path.stem: path for path in sorted((ROOT / "benchmarks").glob("[!_]*.py"))}
    chosen = list(arguments[:1]) or list(scripts)
    if not set(chosen) <= set(scripts):
        stop(f"There is no benchmark {chosen[0]!r}; there are: {', '.join(scripts) or 'none yet'}")
    python = str(venv_program("python"))
    codes = [subprocess.call([python, str(scripts[name]), *arguments[1:]], cwd=ROOT) for name in chosen]
    return int(any(codes))


def lock(arguments: Sequence[str]) -> int:
    """Write both lock files from pyproject.toml with uv; `--upgrade` is passed on, without it versions stay."""
    with tempfile.TemporaryDirectory() as folder:
        uv = [shutil.which("uv") or ""]
        if not uv[0]:
            make_venv(Path(folder))
            pip(Path(folder), "uv")
            uv = [str(venv_program("python", Path(folder))), "-m", "uv"]
        command = [*uv, "pip", "compile", "--universal", "--generate-hashes", "--no-emit-index-url", "--no-header"]
        command += ["--quiet", "--python-version", "3.11", *arguments, "pyproject.toml"]
        dev = [*command, "--extra", "dev", "--output-file", str(DEV_LOCK)]
        subprocess.run(dev, cwd=ROOT, check=True)
        shipped = [*command, "--constraint", str(DEV_LOCK), "--no-annotate", "--output-file", str(LOCK)]
        subprocess.run(shipped, cwd=ROOT, check=True)
    return 0


HELP = """\
run [ARGUMENTS]      open the window on the embedded workspace
test [PYTEST ARGS]   lint, types, layers, then the tests (with arguments: those tests only, in one process)
test --whole         the same with the packages, bare Debian systems and the longest stories, about 20 minutes
check                the same without tests
bench [NAME ARGS]    all benchmarks, or one
mutate [NAME …]      take out guarding lines one at a time, and say which ones no test misses
soak [MINUTES SEED]  random faults on processes that share a sign-in, five minutes of them
soak runs [MINUTES SEED]  random faults between the window and its runs, half an hour of them
proof NAME [ARGS]    what takes minutes: conformance, programs, clients, agents (all with programs from npm), installed
package [KIND …]     build the one-folder application and the packages of this system into dist
lock [--upgrade]     write packaging/*.lock from pyproject.toml
"""


def main() -> int:
    trouble = python_trouble((sys.version_info.major, sys.version_info.minor))
    if trouble is not None:
        stop(trouble)
    parser = argparse.ArgumentParser("dev.py", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "command", choices=["run", "test", "check", "bench", "mutate", "soak", "proof", "package", "lock"]
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    arguments: list[str] = asked.arguments
    if asked.command == "lock":
        return lock(arguments)
    if ON_LINUX:
        provide(needs_of(asked.command, arguments))
    set_up()
    if asked.command == "bench":
        return bench(arguments)
    if asked.command == "run":
        run(arguments)
    if asked.command == "mutate":
        hand_over(venv_program("python"), "-m", "tests.mutate", *arguments)
    if asked.command == "soak":
        hand_over(venv_program("python"), *soak_command(arguments))
    if asked.command == "proof":
        hand_over(venv_program("python"), "-m", "tests.proof", *arguments)
    if asked.command == "package":
        hand_over(venv_program("python"), ROOT / "packaging" / "package.py", *arguments)
    only_checks = ["--no-tests"] if asked.command == "check" else []
    hand_over(venv_program("python"), ROOT / "tests" / "run.py", *only_checks, *arguments)


def soak_command(arguments: Sequence[str]) -> list[Path | str]:
    """The script of a soak with its arguments: that of runs if `runs` is the first word."""
    runs = arguments[:1] == ["runs"]
    script = ROOT / "tests" / "faults" / ("run_soak.py" if runs else "soak.py")
    return [script, *arguments[runs:]]


def can_install() -> bool:
    """Whether `provide` may install Debian packages here."""
    return bool(is_debian(this_system()) and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"))


def needs_of(command: str, arguments: Sequence[str]) -> tuple[Need, ...]:
    """What this command needs of the system; a run without a window needs less, one on Wayland something else.

    Packages need the tools of their kinds; where those cannot be installed, the command itself leaves such kinds out.
    """
    if command == "package":
        named = [kind for kind in PACKAGE_TOOLS if kind in arguments]
        every = EVERY_PACKAGE if can_install() and "folder" not in arguments else ()
        return NEEDS[command] + (sum((PACKAGE_TOOLS[kind] for kind in named), ()) if named else every)
    if command == "proof" and "installed" in arguments:
        return NEEDS["test"] + COMPOSITOR
    if command == "run" and "--offscreen" in arguments:
        return OFFSCREEN
    if command == "soak" and "runs" in arguments:
        return OFFSCREEN + TESTS
    if command == "run" and os.environ.get("WAYLAND_DISPLAY") and not os.environ.get("DISPLAY"):
        return OFFSCREEN + WAYLAND
    return NEEDS.get(command, ())


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
