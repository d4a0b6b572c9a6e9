"""The OAuth protocol without state: metadata, registration, authorization with PKCE, tokens, revocation.

Doors: `authorization_server.AuthorizationServer` for single requests, `sign_in.BrowserSignIn` for a whole sign-in.
"""
