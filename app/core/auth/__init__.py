"""A credential: who the user is to one issuer, for one resource, in one slot.

Door: `credential.Credential`. `oauth/` speaks the protocol, `grant/` refreshes and shares the grant, `vault/` stores
it, `http/` puts the access token on requests, judges the answers and repeats a request whose token was dead.
"""
