"""The OAuth protocol without state: metadata, registration, authorization with PKCE, tokens, revocation.

Doors: `server.OAuthClient` for single requests, `sign_in.BrowserSignIn` for a sign-in from start to end.
"""
