"""The programs of others, installed from npm into `build/proof`: Node.js too, since some need a newer one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "proof"
# The suite is named by the version that the results in docs/ are from; the others are the newest.
PACKAGES = (
    "node@22",
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
    "@modelcontextprotocol/server-everything@latest",
    "@modelcontextprotocol/inspector@latest",
    "@modelcontextprotocol/sdk@latest",
)
# Apart, because they are large.
PROGRAMS = (
    "node@22",
    "@modelcontextprotocol/server-everything@latest",
    "@anthropic-ai/claude-code@latest",
    "@openai/codex@latest",
)
# Named by the versions with which this was last seen to work.
AGENTS = (
    "node@22",
    "opencode-linux-x64@1.18.34",
    "@zed-industries/codex-acp@0.16.0",
    "@google/gemini-cli@0.61.0",
)


@dataclass(frozen=True)
class Peers:
    """What was installed."""

    modules: Path

    @property
    def node(self) -> str:
        """Node.js 22."""
        return str(self.modules / "node" / "bin" / "node")

    def script(self, name: str) -> str:
        """The script that the command `name` of a package runs."""
        return str((self.modules / ".bin" / name).resolve())

    def placed(self, script: Path) -> str:
        """A copy of a script of ours, from where it finds the packages."""
        return str(shutil.copy(script, self.modules.parent / script.name))

    def version(self, package: str) -> str:
        """The version of a package."""
        return str(json.loads((self.modules / package / "package.json").read_text())["version"])

    def environment(self, **more: str) -> dict[str, str]:
        """An environment in which `node` is that of the peers, and no proxy of the machine is asked."""
        path = os.pathsep.join([str(Path(self.node).parent), os.environ.get("PATH", "")])
        return {**os.environ, "PATH": path, "NO_PROXY": "127.0.0.1,localhost", **more}


def install(packages: tuple[str, ...] = PACKAGES) -> Peers:
    """Install what is missing; without a network, what is there is used. Raises `SystemExit`."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is needed for the proofs, and is not installed.")
    folder = FOLDER / {PROGRAMS: "programs", AGENTS: "agents"}.get(packages, "clients")
    folder.mkdir(parents=True, exist_ok=True)
    peers = Peers(folder / "node_modules")
    stamp = folder / "packages.json"
    if not stamp.exists() or json.loads(stamp.read_text()) != list(packages):
        base = [npm, "install", "--no-audit", "--no-fund", "--no-save", "--loglevel", "error", "--prefix", str(folder)]
        # Node.js first: npm chooses versions by the engine that it runs on.
        subprocess.run([*base, packages[0]], check=True, stdout=sys.stderr)
        subprocess.run([*base, *packages], check=True, stdout=sys.stderr, env=peers.environment())
        stamp.write_text(json.dumps(packages))
    return peers
