"""Rows 103 and 104: other users of the machine, and surroundings in which a process may be started."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.core.auth.vault.base import StoreKind
from tests._command import SECONDS, command, environment
from tests.faults.folders import process_on
from tests.faults.measure import Measure
from tests.faults.test_rows_folder import scripted

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes, locales and descriptors of POSIX")
NOBODY = 65534
POSIX_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}

# Another user who looks again and again until standard input ends, then says which files could be opened.
LOOKING = """
import os, sys, threading
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
done, found = threading.Event(), set()
threading.Thread(target=lambda: (sys.stdin.read(), done.set()), daemon=True).start()
print("looking", flush=True)
last = False
while not last:
    last = done.is_set()
    for folder, _, names in os.walk(sys.argv[1]):
        if folder != sys.argv[1]:
            found.add(folder)
        for name in names:
            try:
                os.close(os.open(os.path.join(folder, name), os.O_RDONLY))
            except OSError:
                continue
            found.add(os.path.join(folder, name))
print("\\n".join(sorted(found)), flush=True)
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody may look into, as the home of many people is."""
    folder = Path(tempfile.mkdtemp(prefix="burrow-shared-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def nobody_sees_anything_in(folder: Path) -> Iterator[None]:
    """Another user reads nothing in `folder` from now until the block ends, and the modes say so too."""
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", LOOKING, str(folder), str(NOBODY)], **options) as looking:
        assert looking.stdout is not None
        assert looking.stdout.readline() == "looking\n"
        try:
            yield
        finally:
            found, _ = looking.communicate()
    if os.geteuid() == 0:
        assert found.split() == []
    below = [path for path in folder.rglob("*") if not path.is_symlink()]
    assert below
    assert {str(path): oct(stat.S_IMODE(path.stat().st_mode)) for path in below if path.stat().st_mode & 0o077} == {}


def run(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """A command of a user who hides nothing."""
    outcome = subprocess.run(
        command(*arguments),
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env=environment(**variables),
        timeout=SECONDS,
        check=False,
        umask=0,
    )
    assert "Traceback" not in outcome.stderr, outcome.stderr
    assert "Logging error" not in outcome.stderr, outcome.stderr
    return outcome


def test_row_103_another_user_reads_nothing_of_a_first_command(shared: Path, measure: Measure) -> None:
    with nobody_sees_anything_in(shared):
        assert run("login", "--host", "workspace", "--data", str(shared)).returncode == 0
    assert {"burrow.sqlite3", "crash.log", "identity.json", "workspace"} <= {path.name for path in shared.iterdir()}
    measure.expect(R=0)


def test_row_103_another_user_reads_nothing_of_a_first_window(shared: Path, measure: Measure) -> None:
    picture = Path(tempfile.mkdtemp()) / "window.png"
    with nobody_sees_anything_in(shared):
        outcome = run("--workspace", "--offscreen", "--screenshot", str(picture), "--data", str(shared))
        assert outcome.returncode == 0, outcome.stderr
    assert (shared / "workspace" / "workspace.log").exists()
    shutil.rmtree(picture.parent)
    measure.expect(R=0)


def test_row_103_another_user_reads_nothing_of_a_first_workspace(shared: Path, measure: Measure) -> None:
    with nobody_sees_anything_in(shared):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        folder = shared / "new" / "workspace"
        whole = command("workspace", "--watch-stdin", "--data", str(folder))
        with subprocess.Popen(whole, umask=0, env=environment(), **pipes) as process:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert (folder / "runtime.json").exists()
            assert (folder / "workspace.sqlite3-wal").exists()
            process.communicate("")
    assert ready["secret"]
    measure.expect(R=0)


async def test_row_103_another_user_reads_nothing_of_a_sign_in_in_a_private_file(
    shared: Path, measure: Measure
) -> None:
    former = os.umask(0)
    try:
        with nobody_sees_anything_in(shared):
            async with scripted() as issuer, process_on(shared / "new" / "data", issuer.server) as client:
                measure.watch(client)
                await client.sign_in(issuer, StoreKind.FILE)
                issuer.kill()
                assert await measure.one(client.answer()) == 200
    finally:
        os.umask(former)
    assert list((shared / "new" / "data" / "locks").iterdir())
    measure.expect(R=1)


def test_row_103_what_an_earlier_version_left_readable_becomes_private(shared: Path, measure: Measure) -> None:
    for name in ("crash.log", "burrow.sqlite3"):
        (shared / name).touch(0o644)
    assert run("login", "--host", "workspace", "--data", str(shared)).returncode == 0
    assert [stat.S_IMODE((shared / name).stat().st_mode) for name in ("crash.log", "burrow.sqlite3")] == [0o600] * 2
    measure.expect(R=0)


LOG_LINES = """
import logging, sys
from pathlib import Path
from app.core.diagnostics.logs import start_logging
start_logging(Path(sys.argv[1]))
for number in range(3000):
    logging.getLogger("test").error("%s %s", number, "\\udcff" * 20)
"""


@pytest.mark.parametrize("left_readable", [False, True])
def test_row_103_another_user_reads_nothing_of_the_log(shared: Path, measure: Measure, left_readable: bool) -> None:
    if left_readable:
        (shared / "burrow.log").touch(0o644)
    subprocess.run([sys.executable, "-c", LOG_LINES, str(shared)], umask=0, check=True)
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in shared.iterdir()} == {
        "burrow.log": 0o600,
        "crash.log": 0o600,
    }
    measure.expect(R=0)


def test_row_104_a_log_on_a_full_disk_costs_its_lines_and_nothing_else(tmp_path: Path, measure: Measure) -> None:
    (tmp_path / "burrow.log").symlink_to("/dev/full")
    mode = os.stat("/dev/full").st_mode
    outcome = subprocess.run(
        [sys.executable, "-c", LOG_LINES, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert os.stat("/dev/full").st_mode == mode
    measure.expect(R=0)


def test_row_104_a_log_takes_bytes_that_are_no_text(tmp_path: Path, measure: Measure) -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", LOG_LINES, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert len((tmp_path / "burrow.log").read_text(encoding="utf-8").splitlines()) == 3000
    measure.expect(R=0)


@pytest.mark.parametrize("locale", [{}, POSIX_LOCALE], ids=["utf-8", "posix"])
@pytest.mark.parametrize("name", [b"plain", "grün".encode(), b"caf\xe9", b"\xff"])
def test_row_104_a_folder_of_any_bytes_works_in_any_locale(
    tmp_path: Path, measure: Measure, name: bytes, locale: dict[str, str]
) -> None:
    folder = tmp_path / os.fsdecode(name)
    placed = ("--host", "workspace", "--data", str(folder))
    outcome = run("login", *placed, **locale)
    assert (outcome.returncode, outcome.stderr) == (0, "Signed in to Workspace as ana@example.org.\n")
    assert [os.fsencode(path.name) for path in tmp_path.iterdir()] == [name]
    outcome = run("status", "--json", *placed, **locale)
    assert json.loads(outcome.stdout)["state"] == "signed_in"
    measure.expect(R=0)


def test_row_104_words_beyond_ascii_are_sent_as_they_are_in_the_posix_locale(tmp_path: Path, measure: Measure) -> None:
    placed = ("--host", "workspace", "--data", str(tmp_path), "--json")
    outcome = run("tasks", "create", "Grüße ½ 𝄞", *placed, **POSIX_LOCALE)
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout)["description"] == "Grüße ½ 𝄞"
    measure.expect(R=0)


# A machine that does not know the user who runs this, as in a container.
UNKNOWN_USER = """
import os, pwd, sys
def unknown(_): raise KeyError
pwd.getpwuid = unknown
os.environ.pop("HOME", None)
from app.__main__ import main
raise SystemExit(main())
"""
WAYS_IN = {
    "command": ("status",),
    "workspace": ("workspace",),
    "window": ("--offscreen", "--screenshot", "never.png"),
}


@pytest.mark.parametrize("arguments", WAYS_IN.values(), ids=WAYS_IN)
def test_row_104_an_unknown_home_is_said_in_a_sentence(
    tmp_path: Path, measure: Measure, arguments: tuple[str, ...]
) -> None:
    bare = {name: value for name, value in environment().items() if name not in {"HOME", "XDG_DATA_HOME"}}
    here = {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    for whole, variables in (
        ([sys.executable, "-c", UNKNOWN_USER, *arguments], {}),
        (command(*arguments), {"HOME": ""}),
        (command(*arguments, "--data", "~nobody-has-this-name/x"), {"HOME": str(tmp_path)}),
    ):
        outcome = subprocess.run(
            whole,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=bare | here | variables,
            timeout=SECONDS,
            check=False,
        )
        assert (outcome.returncode, outcome.stdout) == (1, ""), outcome.stderr
        assert "home" in outcome.stderr
        assert "--data" in outcome.stderr
        assert "Traceback" not in outcome.stderr
    assert list(tmp_path.iterdir()) == []
    measure.expect(R=0)


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_row_104_a_command_works_without_standard_streams(tmp_path: Path, measure: Measure, closed: str) -> None:
    def in_shell(*arguments: str) -> subprocess.CompletedProcess[str]:
        whole = ["sh", "-c", f'exec "$@" {closed}', "sh", *command(*arguments), "--data", str(tmp_path)]
        return subprocess.run(whole, capture_output=True, text=True, env=environment(), timeout=SECONDS, check=False)

    outcome = in_shell("login", "--host", "workspace")
    assert (outcome.returncode, outcome.stdout) == (0, "")
    outcome = in_shell("status", "--host", "workspace", "--json")
    assert json.loads(outcome.stdout)["state"] == "signed_in"
    assert in_shell("tasks", "show", "no-such-task", "--host", "workspace").returncode == 5
    if "<&-" in closed:
        outcome = in_shell("login", "--host", "us", "--token", "-")
        assert outcome.returncode == 2, outcome.stderr
        assert "Traceback" not in outcome.stderr
        assert "NoneType" not in outcome.stderr
    measure.expect(R=0)
