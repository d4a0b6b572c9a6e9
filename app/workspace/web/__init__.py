"""HTTP for all views: what is let in, how a body is read, how answers, errors and pages look.

Views use `envelope` (JSON answers, the error envelope, checked fields), `pagination` and `throttle`.
`guard.Door` wraps the whole application.
"""
