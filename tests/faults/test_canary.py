"""No secret leaves the process: not in a log, a record, an export, a `repr()`, a traceback or a crash file."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path

from app.core.auth.vault.identity import UNENCRYPTED_FOLDER

NAMES = (
    "access",
    "refresh",
    "next_access",
    "next_refresh",
    "key",
    "code",
    "state",
    "password",
    "cookie",
    "signature",
    "credential",
    "host",
    "client_key",
)
# A server makes tokens as it likes; half of these have no shape that could be recognised.
PREFIXES = {"access": "", "refresh": "", "next_access": "pha_", "next_refresh": "phr_", "key": "phx_"}


def plant() -> dict[str, str]:
    planted = {name: f"{PREFIXES.get(name, '')}Qx{secrets.token_hex(20)}" for name in NAMES}
    # Exactly as long as what follows `bw_` in a key.
    planted["client_key"] = planted["client_key"].ljust(43, "x")
    return planted


def test_what_a_process_leaves_behind_holds_none_of_its_secrets(tmp_path: Path) -> None:
    planted = plant()
    walk = subprocess.run(
        [sys.executable, "-m", "tests.faults.canary", str(tmp_path)],
        input=json.dumps(planted) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "end of the walk" in walk.stdout, walk.stderr
    # The private files of the sign-ins, which the user chose in the place of a keyring, are where they belong.
    kept = {
        path.name: path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and path.parent.name != UNENCRYPTED_FOLDER
    }
    assert {"burrow.log", "crash.log", "burrow.sqlite3", "exported.jsonl"} <= set(kept)
    left = kept | {"standard output": walk.stdout.encode(), "standard error": walk.stderr.encode()}
    found = [
        (name, place) for name, secret in planted.items() for place, text in left.items() if secret.encode() in text
    ]
    assert not found, found


def test_the_canary_does_sing(tmp_path: Path) -> None:
    """What the test above looks for is in the files once nothing takes it out."""
    planted = plant()
    silenced = (
        "import sys, app.core.redaction as r; r.redact_text = lambda text: text;"
        "r._Copier._text = lambda self, text: text; r._verdict = lambda name: None;"
        "import runpy; sys.argv[:1] = ['canary']; runpy.run_module('tests.faults.canary', run_name='__main__')"
    )
    walk = subprocess.run(
        [sys.executable, "-c", silenced, str(tmp_path)],
        input=json.dumps(planted) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "end of the walk" in walk.stdout, walk.stderr
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    sung = {name for name, secret in planted.items() if secret.encode() in left}
    assert {"access", "refresh", "next_access", "password"} <= sung
