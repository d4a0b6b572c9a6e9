"""The survey agent: a small ACP agent without any model, `burrow survey-agent`.

It really works on the folder it is given: it reads the tree, some files and the history, calls the MCP servers that it
was handed, asks before it writes, and leaves a report on a branch. So runs, transcripts and permissions can be seen and
tested on a machine without an account. What it does depends on the folder, the session's options and the words of the
prompt alone (`words.py`), never on chance.

It speaks revisions 1 and 2 of https://agentclientprotocol.com over standard input and output, and is written with
`app.acp` and the standard library only, because it is started for each run.
"""
