"""The MCP client programs of this machine: where each reads its servers, how an entry is written, and whether it works.

Start with `PROGRAMS` (`table.py`). `snippets.py` writes the text that a person pastes, `edits.py` plans a change of a
program's own file as a `ConfigEdit`, and `trial.py` tries what was set up.
"""
