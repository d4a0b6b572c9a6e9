"""The workspace's own clients never use a proxy of the environment, and take no answer that was compressed for them."""

from __future__ import annotations

import gzip
import socketserver
import threading
from typing import TYPE_CHECKING

import pytest

from tests.workspace.lab import Lab
from tests.workspace.store_client import Store, until
from tests.workspace.store_upstream import scripted_upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.server import BaseHTTPRequestHandler

    from tests.conftest import RunningWorkspace
    from tests.workspace.store_upstream import Seen, Upstream


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What a proxy was asked for that every variable of the environment names."""
    lines: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines.append(self.rfile.readline())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as proxy:
        threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            for spelled in (name, name.upper()):
                monkeypatch.setenv(spelled, f"http://127.0.0.1:{proxy.server_address[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield lines
        proxy.shutdown()


def test_no_request_of_the_workspace_reaches_the_proxy(
    asked: list[bytes], start_workspace: Callable[..., RunningWorkspace]
) -> None:
    with Lab(start_workspace()) as lab, scripted_upstream() as upstream:
        store = Store(lab)
        # Discovery, the exchange of a code, and the list of tools; then the proxy in front of a vendor's server.
        ledger = str(store.connect_ledger()["id"])
        until(lambda: store.tools(ledger))
        wanted = installed(store, upstream)
        until(lambda: store.tools(wanted))
        store.decide(wanted, "first", "approved")
        assert store.call(wanted, "first").status_code == 200
    assert asked == []


def test_a_compressed_list_of_tools_is_not_read(lab: Lab, upstream: Upstream) -> None:
    store = Store(lab)
    arrived = threading.Event()

    def answer(seen: Seen, handler: BaseHTTPRequestHandler) -> bool:
        assert seen.headers["accept-encoding"] == "identity"
        arrived.set()
        return upstream.reply(handler, 200, gzip.compress(b"\0" * 1_000_000), **{"Content-Encoding": "gzip"})

    upstream.answer = answer
    wanted = installed(store, upstream)
    assert arrived.wait(10)
    assert store.tools(wanted) == []


def installed(store: Store, upstream: Upstream) -> str:
    body = {"name": "Scripted", "url": upstream.url, "auth_type": "api_key", "api_key": "vendor-key"}
    return str(store.ask("POST", "/mcp_server_installations/install_custom/", json=body).json()["id"])
