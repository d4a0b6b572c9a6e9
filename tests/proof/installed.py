"""The packages in bare systems beyond what `dev.py test` does with them: `tests/packaging/roots/proof_*.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROOFS = "tests/packaging/roots"
# As many as the suites of Debian.
WORKERS = "2"


def files() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / PROOFS).glob("proof_*.py"))


def prove(arguments: list[str]) -> int:
    """Run them, or those that `arguments` of pytest choose; returns the exit code."""
    command = [sys.executable, "-m", "pytest", "-n", WORKERS, "--dist", "loadscope", *files(), *arguments]
    return subprocess.call(command, cwd=ROOT)
