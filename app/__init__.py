"""Burrow: a native desktop client for PostHog's agent tasks and for MCP servers."""

__version__ = "0.1.0"
