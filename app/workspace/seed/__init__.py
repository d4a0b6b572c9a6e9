"""What a new workspace contains: one person, one project, tasks, events, documents and installed servers.

The door is `fill.seed`, which does nothing when the database already has contents.
"""
