"""A second person for a workspace, which knows one: written into its database beside the running process."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from app.workspace.runtime.database import FILE_NAME
from app.workspace.runtime.digests import digest

KEY = "phx_bens-key-of-the-tests"


def add_ben(data: Path) -> str:
    """Ben works in the same project; his personal API key is answered. `data` is the workspace's folder."""
    with closing(sqlite3.connect(data / FILE_NAME, timeout=5)) as connection, connection:
        connection.execute(
            "INSERT INTO users SELECT 2, 'ben-uuid', 'ben-distinct', 'ben@example.org', 'Ben', 'Okafor',"
            " current_organization, current_project, created_at FROM users WHERE id = 1"
        )
        connection.execute("INSERT INTO personal_keys VALUES (?, 2, 'Key', '*', 0)", (digest(KEY),))
    return KEY
