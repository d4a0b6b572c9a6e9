"""The fault switchboard under /_faults: makes the workspace fail on purpose, for tests and for people.

`switchboard` has the routes; `mcp` and `vendors` have the switches of those parts. The switches change what lies below:
the rules in `app.workspace.runtime.fault_rules` and the state of each package.
"""
