"""The settings page: one file a section. `sections.py` lists them in the order of the page."""
