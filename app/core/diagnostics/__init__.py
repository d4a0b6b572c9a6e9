"""What Burrow records and reports about itself: the activity record, log files, the status and history of a sign-in.

Doors: `activity.Activity` records requests and messages, `timeline.Timeline` reads the journal of a credential,
`report` makes text of a sign-in's status and timeline. `core/redaction.py` removes the secrets from all of it.
"""
