"""The application's code with the eyes of Windows: what it imports, and what it calls where something is missing."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging import windows_probe

ROOT = Path(__file__).resolve().parents[2]
CODE = [*sorted((ROOT / "app").rglob("*.py")), ROOT / "dev.py", *sorted((ROOT / "packaging").rglob("*.py"))]
# Files that use what only Unix has where a question that this test cannot see was asked before.
ASKED_BEFORE = {
    "app/core/mcp/proxy/handover.py": "callers ask `CAN_HAND_OVER`",
    "app/core/private_socket.py": "callers ask `CAN_HAND_OVER` or `HAS_UNIX_SOCKETS`",
    "app/core/instance/doors.py": "it asks `HAS_UNIX_SOCKETS`",
    "app/core/auth/vault/vaults.py": "the branches of Windows and macOS have returned",
}
MISSING = {
    "os": set(windows_probe.OF_OS),
    "signal": set(windows_probe.OF_SIGNAL),
    "socket": set(windows_probe.OF_SOCKET),
    "asyncio": set(windows_probe.OF_ASYNCIO),
}
MENTIONED = re.compile(rf"\b(?:{'|'.join(MISSING)})\.(?:{'|'.join(set().union(*MISSING.values()))})\b")
ASKS = ("platform", "os.name", "hasattr", "POSIX", "ON_LINUX", "CAN_HAND_OVER")


def test_every_module_can_be_imported_on_windows() -> None:
    ended = subprocess.run(
        [sys.executable, str(Path(windows_probe.__file__))],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert result["failures"] == {}
    assert result["imported"] > 600


def unguarded(tree: ast.AST) -> set[str]:
    """Names of Unix that are used without a question about the platform around them."""
    found: set[str] = set()

    def visit(node: ast.AST, asked: bool) -> None:
        if isinstance(node, ast.If | ast.IfExp) and any(word in ast.unparse(node.test) for word in ASKS):
            asked = True
        if isinstance(node, ast.BoolOp) and any(word in ast.unparse(node) for word in ASKS):
            asked = True
        used = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and not asked
        if used and node.attr in MISSING.get(node.value.id, ()):
            found.add(node.attr)
        for child in ast.iter_child_nodes(node):
            visit(child, asked)

    visit(tree, asked=False)
    return found


def test_what_only_unix_has_is_used_behind_a_question_about_the_platform() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in CODE
        if MENTIONED.search(text := path.read_text(encoding="utf-8"))
        for name in unguarded(ast.parse(text))
    }
    assert {(file, name) for file, name in found if file not in ASKED_BEFORE} == set()
    # None that has gone stays in the list.
    assert set(ASKED_BEFORE) == {file for file, _ in found}


def test_the_question_is_seen() -> None:
    assert unguarded(ast.parse("import os\nos.killpg(1, 9)")) == {"killpg"}
    assert unguarded(ast.parse("import os\nif os.name == 'posix':\n    os.killpg(1, 9)")) == set()


class Started:
    """Stands for `subprocess.Popen` of Windows, where a job may refuse that a child leaves it."""

    def __init__(self, refused: int) -> None:
        self.refused, self.flags = refused, list[int]()

    def __call__(self, command: object, *, creationflags: int, **options: object) -> Started:
        assert "pass_fds" not in options
        self.flags.append(creationflags)
        if creationflags & self.refused:
            raise PermissionError(13, "Access is denied")
        return self


@pytest.fixture
def windows_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    # https://learn.microsoft.com/windows/win32/procthread/process-creation-flags
    for name, value in (
        ("DETACHED_PROCESS", 0x8),
        ("CREATE_NEW_PROCESS_GROUP", 0x200),
        ("CREATE_BREAKAWAY_FROM_JOB", 0x1000000),
    ):
        monkeypatch.setattr(subprocess, name, value, raising=False)


def test_the_proxy_leaves_the_job_of_the_program_that_started_it(
    windows_flags: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from app.core.mcp.proxy.shim import reach

    popen = Started(refused=0)
    monkeypatch.setattr(subprocess, "Popen", popen)
    reach._start(("burrow.exe", "proxy"), 3, tmp_path)
    assert popen.flags == [0x1000208]


def test_the_proxy_starts_in_a_job_that_it_may_not_leave(
    windows_flags: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from app.core.mcp.proxy.shim import reach

    popen = Started(refused=0x1000000)
    monkeypatch.setattr(subprocess, "Popen", popen)
    reach._start(("burrow.exe", "proxy"), 3, tmp_path)
    assert popen.flags == [0x1000208, 0x208]
    monkeypatch.setattr(subprocess, "Popen", Started(refused=0xFFFFFFFF))
    with pytest.raises(reach.NoProxy, match="Access is denied"):
        reach._start(("burrow.exe", "proxy"), 3, tmp_path)


def test_a_server_that_is_a_script_is_started_by_its_whole_name_on_windows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from app.processes import child

    script = tmp_path / "npx"
    script.write_text("", encoding="utf-8")
    script.chmod(0o755)
    assert child.startable("npx", str(tmp_path)) == "npx"
    # `shutil.which` itself asks PATHEXT on Windows.
    monkeypatch.setattr(child.shutil, "which", lambda name, path: str(Path(path) / f"{name}.cmd"))
    monkeypatch.setattr(child.sys, "platform", "win32")
    assert child.startable("npx", str(tmp_path)) == str(tmp_path / "npx.cmd")
    monkeypatch.setattr(child.shutil, "which", lambda name, path: None)
    assert child.startable("nothing", str(tmp_path)) == "nothing"
