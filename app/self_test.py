"""`burrow self-test`: whether an installed Burrow finds what it needs on this machine, as one JSON object.

Not for people: packages and their tests start it on machines that have nothing else. It opens no window, reads no
data folder and asks no server; the object holds no secrets. The exit code is 0 where nothing is wrong.

    {"version": "0.1.0", "installation": "deb", "python": "3.11.7", "openssl": "OpenSSL 3.0.17 …", "sqlite": "3.40.1",
     "certificates": 140, "vault": "SecretService Keyring", "window": {"qt": "6.11.3", "platform": "xcb", "screens": 1,
     "fonts": 12, "image_formats": ["gif", …], "plugin_folders": ["/opt/burrow/…"]}, "trouble": []}

`vault` is None on a machine that has none, which is no trouble. `certificates` counts those of the system that are
loaded at once; others are looked up in its folder. `trouble` has one sentence for everything that is missing.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from app import __version__
from app.core.installation import installation
from app.core.own_environment import own_qt_plugins

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND = "self-test"
WINDOW = "window"
WINDOW_SECONDS = 30.0
IMAGE_FORMATS = ("gif", "ico", "jpeg", "png", "svg", "webp")
# Imported only when they are used, so that a build without one would start.
MODULES = (
    *("aiohttp", "certifi", "corvus_json_schema_rs", "httptools", "httpx", "httpx2", "keyring", "mcp", "msgspec"),
    *("pydantic", "socksio", "starlette", "truststore", "uvicorn"),
    *("securesystemslib.signer", "tuf.api.metadata", "tuf.ngclient"),
)
SQUARE = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8" fill="#00f"/></svg>'


def main(arguments: list[str]) -> int:
    """Write the object to standard output; returns the exit code."""
    found: dict[str, Any] = _window() if arguments == [WINDOW] else _machine()
    sys.stdout.write(f"{json.dumps(found, ensure_ascii=False)}\n")
    return 1 if found["trouble"] else 0


def _machine() -> dict[str, Any]:
    trouble: list[str] = []

    def tried(what: str, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as failure:  # noqa: BLE001 - whatever it is, the object must name it
            trouble.append(f"{what}: {type(failure).__name__}: {failure}")
            return None

    found: dict[str, Any] = {
        "version": __version__,
        "installation": installation().kind.value,
        "python": platform.python_version(),
        "openssl": tried("TLS", _openssl),
        "certificates": tried("Certificates", _certificates),
        "sqlite": tried("SQLite", _sqlite),
        "vault": tried("Vault", _vault),
    }
    for name in MODULES:
        tried(name, partial(importlib.import_module, name))
    leaked = _leaked()
    if leaked:
        trouble.append(f"Child processes get Burrow's own {', '.join(leaked)}")
    found["window"] = _asked_window(trouble)
    return {**found, "trouble": trouble}


def _openssl() -> str:
    import ssl

    ssl.create_default_context()
    return ssl.OPENSSL_VERSION


def _certificates() -> int:
    import ssl

    import truststore

    truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context().cert_store_stats()["x509_ca"]


def _sqlite() -> str:
    import sqlite3

    with sqlite3.connect(":memory:") as database:
        return str(database.execute("select sqlite_version()").fetchone()[0])


def _vault() -> str | None:
    """The name of the platform's keyring that answers; None when this machine has none."""
    from app.core.auth.vault.base import VaultState
    from app.core.auth.vault.vaults import platform_backend, vault_failure

    try:
        return str(platform_backend().name)
    except Exception as failure:
        if vault_failure(failure).state is VaultState.ABSENT:
            return None
        raise


def _leaked() -> list[str]:
    """The variables that name the frozen program's own folder."""
    folder = getattr(sys, "_MEIPASS", None)
    return [] if folder is None else sorted(name for name, value in os.environ.items() if folder in value)


def _asked_window(trouble: list[str]) -> dict[str, Any]:
    """What `_window` says in a process of its own: Qt ends the process when it finds no platform plugin."""
    program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "app"]
    try:
        ended = subprocess.run(
            [*program, COMMAND, WINDOW], capture_output=True, encoding="utf-8", timeout=WINDOW_SECONDS, check=False
        )
        found: dict[str, Any] = json.loads(ended.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as failure:
        words = ended.stderr.strip()[-2000:] if isinstance(failure, ValueError) else str(failure)
        trouble.append(f"Window: {words}")
        return {}
    trouble += found.pop("trouble")
    return found


def _window() -> dict[str, Any]:
    """Qt's side: the platform plugin of this display (`offscreen` without one), fonts, image formats."""
    from app.main import has_display

    if not has_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from PySide6.QtCore import qVersion
    from PySide6.QtGui import QFontDatabase, QGuiApplication, QImage, QImageReader

    importlib.import_module("app.ui.loop")

    with own_qt_plugins():
        application = QGuiApplication(sys.argv[:1])
    formats = sorted(bytes(each.data()).decode() for each in QImageReader.supportedImageFormats())
    families = QFontDatabase.families()
    trouble = [f"Image format {name} is missing" for name in IMAGE_FORMATS if name not in formats]
    if QImage.fromData(SQUARE).pixelColor(4, 4).name() != "#0000ff":
        trouble.append("SVG images are not drawn")
    if not families:
        trouble.append("There are no fonts")
    return {
        "qt": qVersion(),
        "platform": application.platformName(),
        "screens": len(application.screens()),
        "fonts": len(families),
        "image_formats": formats,
        "plugin_folders": application.libraryPaths(),
        "trouble": trouble,
    }
