"""The fault switchboard under /_faults: makes the workspace fail on purpose, for tests and for people.

`switchboard` has the routes. `app.workspace.web.guard` applies the rules to requests.
"""
