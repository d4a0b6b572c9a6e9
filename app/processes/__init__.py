"""Processes that Burrow starts: their start and end, and that nothing of them outlives Burrow. Standard library only.

`ChildProcess` is one that is spoken to, `output_of` one that is run to its end.
"""
