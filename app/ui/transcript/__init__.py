"""The transcript of a run, as the window shows it. Start with `TranscriptView`; `TranscriptPage` is the whole page.

It knows the values of `core.runs`, and no place. Items are painted, not widgets: of 100,000 only those in view are laid
out, and their heights are estimates until then.
"""
