"""What a running workspace consists of: settings, clock, database, counters and the fault rules in force.

The other packages use `context.Workspace`, which holds all of it; a request finds it with `context.workspace_of`.
Nothing here knows HTTP routes.
"""
