"""Runs on this machine: Burrow as a client of the Agent Client Protocol over the pipes of a process.

Start with `LocalRun` (`run.py`). What an agent says is written to a log of the form that PostHog's runs have
(docs/wire.md, "Run logs"), so one `Transcript` reads both. https://agentclientprotocol.com/protocol/overview
"""
