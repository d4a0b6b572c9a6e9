"""The workspace's OAuth authorization server (RFC 6749, 7009, 7591, 7636, 7662, 8252, 8414, 9207).

`metadata`, `registration`, `authorize` and `token` have the routes. `grants` issues, rotates and revokes tokens inside
a database transaction.
"""
