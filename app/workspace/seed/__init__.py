"""What a new workspace contains: one person, one project, tasks, events, documents and installed servers.

Call `fill.seed` at each start; it does nothing when the database was filled before.
"""
