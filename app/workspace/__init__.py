"""The embedded workspace: a PostHog-compatible server in a process of its own.

It implements docs/wire.md without a line of the client's code, so that neither side can hide the other's mistake.
`__main__` starts the process, `server` puts the packages together. Packages import each other in one direction only:
`runtime`, `web`, `accounts`, then `oauth` and `tasks`, then `mcp`, `vendors`, `store`, at last `seed` and `faults`.
"""
