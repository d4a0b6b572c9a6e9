"""OAuth: metadata, client registration, authorization with PKCE, token requests, revocation.

Doors: `authorization_server.AuthorizationServer` for single requests, `sign_in.BrowserSignIn` for a whole sign-in.
"""
