"""One grant: its tokens, its refresh, and what the processes of a machine share about it.

Doors: `coordinator.RefreshCoordinator` runs one refresh for all callers. `journal.Journal` records each refresh before
the refresh token is sent. `brake` stops a grant whose new tokens are refused again and again.
"""
