"""The results of tool calls and the contents of resources, as values.

Door: `parsing.call_result` and `parsing.resource_blocks`.
"""
