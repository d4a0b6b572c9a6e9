"""The embedded workspace: a PostHog-compatible server in a process of its own.

It implements docs/wire.md and shares no code with the client, so that neither side can hide the other's mistakes.
`__main__` starts the process; `server` puts the packages together. Imports go one way: `runtime`, `web` and `accounts`
lie lowest, `oauth` and `tasks` on them, then `mcp`, `vendors` and `store`, then `seed` and `faults`.
"""
