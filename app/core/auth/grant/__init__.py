"""One grant: its tokens, its refresh, and what the processes of a machine share about it.

Doors: `coordinator.RefreshCoordinator` refreshes it once for all callers, the journal records each refresh before the
refresh token is spent, the brake stops a grant that is refreshed and refused again and again.
"""
