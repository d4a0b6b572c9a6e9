"""Burrow: a native desktop client for PostHog's agent tasks and for MCP servers."""

__version__ = "0.1.0"

# Where a distributor publishes `docs/client-metadata.json` (OAuth Client ID Metadata Document), with its own address in
# it. Authorization servers that take such documents then need no registration; with None Burrow registers itself.
CLIENT_METADATA_URL: str | None = None
