"""The workspace's OAuth authorization server (RFC 6749, 7009, 7591, 7636, 7662, 8252, 8414, 9207).

`routes` has the endpoints; `grants` issues, rotates and revokes tokens inside a database transaction.
"""
