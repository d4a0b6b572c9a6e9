"""What a run changed, as the window shows it. It knows the values of the core, and no place.

Start with `ChangesPage` and its `ChangesController` for runs on this machine, with `ResultsPage` for runs in the cloud,
with `WorktreesDialog` for the worktrees of runs.
"""
