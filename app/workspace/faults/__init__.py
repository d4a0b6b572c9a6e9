"""The fault switchboard under /_faults: makes the workspace fail on purpose, for tests and for people.

`switchboard` has the routes; `mcp` and `vendors` the switches of those parts. What the switches set lies below: rules in
`app.workspace.runtime.fault_rules`, the rest in the state of each package.
"""
