"""Git worktrees in which agents of this machine work: made, made ready, compared, and deleted without losing anything.

Start with `Worktrees` (`worktrees.py`). Every call of git goes through `git.py`.
"""
