"""Other proxies between MCP clients and servers, installed for the benchmark, each used as its own README says."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from _env import ROOT, peer_python

if TYPE_CHECKING:
    from collections.abc import Collection

PYTHON_PEERS = {"mcp-proxy": "mcp-proxy==0.13.0", "fastmcp": "fastmcp==4.2.3"}
NODE_PEERS = {"supergateway": "4.0.0", "mcp-remote": "0.15.1"}


@dataclass(frozen=True)
class Peer:
    """`command` starts it: with a port it serves HTTP at `path`, without one it speaks on its pipes."""

    name: str
    command: tuple[str, ...]
    port: int | None
    path: str = "/mcp"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def peers(url: str, wanted: Collection[str] = ()) -> list[Peer]:
    """Every peer that can be installed here, or those that are wanted, before the server at `url`."""
    found = []
    for name, requirement in PYTHON_PEERS.items():
        if wanted and name not in wanted:
            continue
        try:
            program = str(peer_python(f"proxy-{name}", [requirement]).with_name(name))
        except (OSError, subprocess.CalledProcessError) as failure:
            print(f"{name} cannot be installed: {failure}", flush=True)
            continue
        port = free_port()
        if name == "mcp-proxy":
            # README, "SSE to stdio" and "stdio to SSE/StreamableHTTP": one serves what the other one connects to.
            inner = (program, "--transport", "streamablehttp", url)
            command = (program, "--port", str(port), "--", *inner)
        else:
            # README, "proxy": a remote server is run like one of its own.
            command = (program, "run", url, "--transport", "http", "--port", str(port), "--no-banner")
        found.append(Peer(name, command, port, "/mcp/" if name == "mcp-proxy" else "/mcp"))
    for name, version in NODE_PEERS.items():
        if wanted and name not in wanted:
            continue
        try:
            program = node_program(name, version)
        except (OSError, subprocess.CalledProcessError) as failure:
            print(f"{name} cannot be installed: {failure}", flush=True)
            continue
        if name == "supergateway":
            # README, "Streamable HTTP to stdio" and "stdio to Streamable HTTP".
            port = free_port()
            inner_command = f"{program} --streamableHttp {url} --outputTransport stdio --logLevel none"
            options = ("--outputTransport", "streamableHttp", "--stateful", "--port", str(port), "--logLevel", "none")
            found.append(Peer(name, (program, "--stdio", inner_command, *options), port))
        else:
            # README, "Usage": a program that clients start on its pipes.
            found.append(Peer(name, (program, url, "--allow-http", "--transport", "http-only"), None))
    return found


def node_program(name: str, version: str) -> str:
    """The program of a package of npm, installed with exactly this version on first use."""
    folder = ROOT / "build" / f"bench-proxy-{name}"
    program = folder / "node_modules" / ".bin" / name
    manifest = folder / "package.json"
    wanted = json.dumps({"private": True, "dependencies": {name: version}})
    if not program.exists() or manifest.read_text("ascii") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        manifest.write_text(wanted, encoding="ascii")
        npm = shutil.which("npm")
        if npm is None:
            raise FileNotFoundError("npm is not installed")
        subprocess.run([npm, "install", "--silent", "--no-fund", "--no-audit"], cwd=folder, check=True)
    return str(Path(program))
