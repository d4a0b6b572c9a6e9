"""Results of calls and resources as values.

Door: `parsing.call_result` and `parsing.resource_blocks`.
"""
