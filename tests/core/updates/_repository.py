"""A real repository of updates, made by packaging/updates/repository.py with real keys, on a real HTTP server."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

from app.core.auth.http.clients import HttpClients
from app.core.busy import Busy
from app.core.installation import InstalledApp, InstallKind
from app.core.updates.download import Pace
from app.core.updates.release import Machine
from app.core.updates.service import Updates
from app.core.updates.source import UpdateSource

TOOL = Path(__file__).parents[3] / "packaging" / "updates" / "repository.py"
HERE = Machine("linux", "x86_64", "appimage", (2, 36))
CONTENT = bytes(range(256)) * 1200
Answer = Callable[["Handler", bytes], bool]


def tool() -> ModuleType:
    """packaging/updates/repository.py as a module."""
    if "update_repository" not in sys.modules:
        found = importlib.util.spec_from_file_location("update_repository", TOOL)
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.modules["update_repository"] = module
        found.loader.exec_module(module)
    return sys.modules["update_repository"]


class Handler(BaseHTTPRequestHandler):
    """Serves files with ranges and strong tags. `server.faults` may answer first."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {name.title(): value for name, value in self.headers.items()}))
        path = self.server.folder / unquote(self.path).lstrip("/")
        body = path.read_bytes() if path.is_file() else b""
        for part, answer in list(self.server.faults.items()):
            if part in self.path and answer(self, body):
                return
        if not path.is_file():
            self.reply(404, b"")
            return
        self.serve(body)

    def serve(self, body: bytes, tag: str = "") -> None:
        tag = tag or f'"{len(body)}-{hash(body)}"'
        ranged = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if ranged is None or self.headers.get("If-Range", tag) != tag:
            self.reply(200, body, ETag=tag)
        elif int(ranged[1]) >= len(body):
            self.reply(416, b"")
        else:
            start = int(ranged[1])
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self.reply(206, body[start:], **{"ETag": tag, "Content-Range": span})

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # A connection that the client keeps must not keep the test.
    block_on_close = False

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.faults: dict[str, Answer] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no error."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join(5)


@dataclass
class Rig:
    """The repository below `folder`, its server, and an installation that gets updates from it."""

    folder: Path
    server: Server
    repository: Any
    signers: Any
    root: bytes
    clients: HttpClients
    data: Path
    settings: dict[str, object] = field(default_factory=dict)
    busy: Busy = field(default_factory=Busy)

    @staticmethod
    def make(folder: Path, *, roots: int = 1, threshold: int = 1) -> Rig:
        made = tool()
        made.make_keys(folder / "keys", roots=roots)
        signers = made.load_keys([folder / "keys"])
        repository = made.UpdateRepository(folder / "repository", signers)
        root = repository.create(threshold=threshold).read_bytes()
        (folder / "data").mkdir()
        server = Server(folder / "repository")
        return Rig(folder, server, repository, signers, root, HttpClients(), folder / "data")

    @staticmethod
    def of(folder: Path, root: Path) -> Rig:
        """The repository below `folder` that somebody else has made."""
        (folder / "data").mkdir()
        server = Server(folder / "repository")
        return Rig(folder, server, None, None, root.read_bytes(), HttpClients(), folder / "data")

    def add(
        self, version: str = "0.2.0", content: bytes = CONTENT, name: str = "Burrow.AppImage", **custom: Any
    ) -> str:
        """Publish a release for this machine."""
        (self.folder / "made").mkdir(exist_ok=True)
        file = self.folder / "made" / name
        file.write_bytes(content)
        said = {"version": version, "platform": "linux", "architecture": "x86_64", "kind": "appimage"}
        return str(self.repository.add(file, {**said, "notes": f"What is new in {version}.", "released": 1, **custom}))

    def at(self, moment: float) -> Any:
        """The repository at another time."""
        now = datetime.fromtimestamp(moment, UTC)
        return tool().UpdateRepository(self.folder / "repository", self.signers, now=now)

    def updates(self, running: str = "0.1.0", **options: Any) -> Updates:
        """A process with this version."""
        options.setdefault("installed", InstalledApp(InstallKind.APPIMAGE, (str(self.image),), self.folder))
        options.setdefault("pace", Pace())
        return Updates(
            self.data,
            lambda: self.clients,
            self.settings,
            self.busy,
            source=UpdateSource(self.server.url, self.root),
            machine=HERE,
            running=running,
            **options,
        )

    @property
    def image(self) -> Path:
        """The file of the installation."""
        path = self.folder / "Burrow.AppImage"
        if not path.exists():
            path.write_bytes(b"former")
            path.chmod(0o755)
        return path

    @property
    def metadata(self) -> Path:
        return self.folder / "repository" / "metadata"

    def change(self, name: str, edit: Callable[[Any], None], *signers: Any) -> None:
        """Edit metadata as JSON; `signers` sign it then, else the signatures stay as they are."""
        from tuf.api.metadata import Metadata

        path = self.metadata / name
        value = json.loads(path.read_bytes())
        edit(value)
        if signers:
            made: Any = Metadata.from_dict(value)
            made.signatures.clear()
            for signer in signers:
                made.sign(signer, append=True)
            path.write_bytes(made.to_bytes())
        else:
            path.write_text(json.dumps(value), encoding="utf-8")

    async def close(self) -> None:
        await self.clients.close()
        self.server.close()
