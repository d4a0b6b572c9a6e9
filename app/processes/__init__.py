"""Processes that Burrow starts: start, end, and that nothing outlives Burrow. Standard library only."""
