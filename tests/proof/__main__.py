"""`python3 dev.py proof NAME`: `conformance`, `programs`, `clients [MINUTES]`, `agents [NAME]`, `installed [WORDS]`.

- conformance: the official conformance suite in server mode gives the same results against the reference server
  `server-everything` and through the proxy.
- programs: Claude Code and Codex use the proxy with what Burrow gives to paste or writes into their files.
- clients: the MCP Inspector, the Python SDK and the TypeScript SDK work through the proxy while their tokens die.
- agents: OpenCode, Codex and the Gemini CLI carry out runs on this machine with a scripted model.
- installed: the packages in bare Debian systems: an upgrade and a removal under an open window, the rpm, Wayland, the
  AppImage moved and without FUSE. Needs root.

Ends with 1 when a proof fails.
"""

from __future__ import annotations

import argparse
import asyncio


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py proof", description=__doc__)
    proofs = parser.add_subparsers(dest="proof", required=True)
    suite = proofs.add_parser("conformance", help="the conformance suite, directly and through the proxy")
    suite.add_argument("--suite", default="all", help="which scenarios (default: all)")
    load = proofs.add_parser("clients", help="released clients while tokens die")
    load.add_argument("minutes", type=float, nargs="?", default=10.0)
    load.add_argument("--every", type=float, default=10.0, help="seconds between two deaths of the tokens")
    load.add_argument(
        "--handovers", type=float, default=0.0, help="seconds between two owners of the port (0: one owner)"
    )
    proofs.add_parser("programs", help="Claude Code and Codex, connected with what Burrow gives them")
    agents = proofs.add_parser("agents", help="released agents carry out runs with a scripted model")
    agents.add_argument("only", nargs="?", default="", help="how the name of the agent begins (default: all)")
    proofs.add_parser("installed", help="the packages in bare Debian systems; takes arguments of pytest")
    asked, rest = parser.parse_known_args()
    if rest and asked.proof != "installed":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if asked.proof == "conformance":
        from tests.proof import conformance

        return asyncio.run(conformance.prove(asked.suite))
    if asked.proof == "programs":
        from tests.proof import programs

        return asyncio.run(programs.prove())
    if asked.proof == "agents":
        from tests.proof import agents as public

        return asyncio.run(public.prove(asked.only))
    if asked.proof == "installed":
        from tests.proof import installed as packages

        return packages.prove(rest)
    from tests.proof import clients

    return asyncio.run(clients.prove(asked.minutes, asked.every, asked.handovers))


if __name__ == "__main__":
    raise SystemExit(main())
