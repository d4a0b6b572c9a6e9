"""HTTP for all views: what is let in, how a body is read, how answers, errors and pages look.

Views use `errors` (JSON answers and refusals), `fields` (checked request bodies), `pagination` and `throttle`.
`guard.RequestGuard` wraps the whole application.
"""
