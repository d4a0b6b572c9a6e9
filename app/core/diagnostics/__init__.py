"""What Burrow tells about itself: the activity record, log files, and the state and history of a sign-in.

Doors: `activity.Activity` records what went over the wire, `timeline.Timeline` reads the journal of a credential,
`report` turns both into text. `redaction` removes secrets from everything that is shown, logged or stored.
"""
