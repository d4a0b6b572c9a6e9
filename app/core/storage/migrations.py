"""The tables of Burrow's database, as a list of steps. `PRAGMA user_version` is the number of steps applied.

A step that was released is never changed: data folders exist that have applied it. A change is a new step at the end.
"""

from __future__ import annotations

# "Burw". It tells Burrow's database from another program's (`PRAGMA application_id`).
APPLICATION_ID = 0x42757277

# What a database of the current version must have. If one is missing, the file is damaged.
TABLES = frozenset(
    {
        *("settings", "drafts", "outbox", "cache", "activity", "grant_log", "raised_policies", "calls"),
        *(
            "proxy_clients",
            "proxy_keys",
            "proxy_use",
            "proxy_rules",
            "proxy_sessions",
            "follow_ups",
            "stops",
            "run_starts",
        ),
    }
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        """CREATE TABLE drafts (
            host TEXT NOT NULL, account TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
            fields TEXT NOT NULL, saved_at REAL NOT NULL,
            PRIMARY KEY (host, account, kind, id)
        ) WITHOUT ROWID""",
        """CREATE TABLE outbox (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
            host TEXT NOT NULL, account TEXT NOT NULL, kind TEXT NOT NULL,
            payload TEXT NOT NULL, created_at REAL NOT NULL, state TEXT NOT NULL
        )""",
        "CREATE INDEX outbox_scope ON outbox (host, account, number)",
        """CREATE TABLE cache (
            host TEXT NOT NULL, account TEXT NOT NULL, name TEXT NOT NULL,
            stored_at REAL NOT NULL, payload BLOB NOT NULL,
            PRIMARY KEY (host, account, name)
        )""",
        """CREATE TABLE activity (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL,
            target TEXT NOT NULL, summary TEXT NOT NULL, status TEXT NOT NULL, milliseconds REAL,
            detail TEXT NOT NULL
        )""",
    ),
    (
        """CREATE TABLE grant_log (
            number INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, what TEXT NOT NULL, cause TEXT NOT NULL,
            target TEXT NOT NULL, rule TEXT NOT NULL, process TEXT NOT NULL, at REAL NOT NULL, boot REAL NOT NULL,
            generation INTEGER NOT NULL, refresh TEXT NOT NULL, access TEXT NOT NULL, outcome TEXT NOT NULL,
            open INTEGER NOT NULL, milliseconds REAL, renews_at REAL, accepted INTEGER NOT NULL
        )""",
        "CREATE INDEX grant_log_host ON grant_log (host, number)",
        # The key of the fingerprints of tokens (`auth/tokens.py`). Made here, because a step runs once: two processes
        # that start at the same time then have the same key.
        "INSERT OR IGNORE INTO settings VALUES ('install_key', '\"' || lower(hex(randomblob(32))) || '\"')",
    ),
    (
        # The process that sends the item (`lease.py`), or nobody.
        "ALTER TABLE outbox ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
    ),
    (
        # A draft has a copy for each process that writes it (`drafts.py`), and `owner` is the process that holds one.
        "ALTER TABLE drafts RENAME TO drafts_of_one_copy",
        """CREATE TABLE drafts (
            host TEXT NOT NULL, account TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, copy TEXT NOT NULL,
            fields TEXT NOT NULL, saved_at REAL NOT NULL, owner TEXT NOT NULL,
            PRIMARY KEY (host, account, kind, id, copy)
        ) WITHOUT ROWID""",
        "INSERT INTO drafts SELECT host, account, kind, id, '', fields, saved_at, '' FROM drafts_of_one_copy",
        "DROP TABLE drafts_of_one_copy",
    ),
    (
        # The policies that are raised for one call (`raised_policies.py`).
        """CREATE TABLE raised_policies (
            number INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, account TEXT NOT NULL,
            project INTEGER NOT NULL, server TEXT NOT NULL, tool TEXT NOT NULL, former TEXT NOT NULL,
            owner TEXT NOT NULL, over INTEGER NOT NULL DEFAULT 0
        )""",
    ),
    (
        # The calls of tools (`calls.py`).
        """CREATE TABLE calls (
            number INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, account TEXT NOT NULL,
            server TEXT NOT NULL, tool TEXT NOT NULL, at REAL NOT NULL, seconds REAL NOT NULL, outcome TEXT NOT NULL,
            arguments TEXT NOT NULL, omitted TEXT NOT NULL, result TEXT NOT NULL, size INTEGER NOT NULL
        )""",
        "CREATE INDEX calls_of_a_tool ON calls (host, account, server, tool, number)",
    ),
    (
        # The headers, bodies and times of the newest requests (`exchanges.py`), by the id of their line of `activity`.
        """CREATE TABLE exchanges (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, content TEXT NOT NULL
        )""",
    ),
    (
        # The clients of the local MCP proxy, their keys (as SHA-256), what they used and may use (`proxy_clients.py`).
        """CREATE TABLE proxy_clients (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, program TEXT NOT NULL, created_at REAL NOT NULL,
            servers TEXT, revoked_at REAL
        ) WITHOUT ROWID""",
        # `owner` is the process that has the key (`lease.py`), or nobody for a key that was given to the user.
        """CREATE TABLE proxy_keys (
            hash TEXT PRIMARY KEY, client TEXT NOT NULL, owner TEXT NOT NULL, created_at REAL NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE proxy_use (
            client TEXT NOT NULL, server TEXT NOT NULL, calls INTEGER NOT NULL, last_used REAL NOT NULL,
            agent TEXT NOT NULL,
            PRIMARY KEY (client, server)
        ) WITHOUT ROWID""",
        """CREATE TABLE proxy_rules (
            client TEXT NOT NULL, server TEXT NOT NULL, tool TEXT NOT NULL, rule TEXT NOT NULL,
            PRIMARY KEY (client, server, tool)
        ) WITHOUT ROWID""",
        # The sessions of those clients with servers (`proxy_sessions.py`).
        """CREATE TABLE proxy_sessions (
            id TEXT PRIMARY KEY, client TEXT NOT NULL, server TEXT NOT NULL, opening BLOB NOT NULL,
            upstream_id TEXT NOT NULL, protocol TEXT NOT NULL, token TEXT NOT NULL, used_at REAL NOT NULL
        )""",
        "CREATE INDEX proxy_sessions_by_use ON proxy_sessions (used_at)",
        "CREATE INDEX proxy_sessions_of_a_client ON proxy_sessions (client, used_at)",
    ),
    (
        # Messages to the agents of runs (`follow_ups.py`).
        """CREATE TABLE follow_ups (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, host TEXT NOT NULL,
            account TEXT NOT NULL, task TEXT NOT NULL, text TEXT NOT NULL, files TEXT NOT NULL,
            steer INTEGER NOT NULL, created_at REAL NOT NULL, state TEXT NOT NULL, owner TEXT NOT NULL
        )""",
        "CREATE INDEX follow_ups_of_a_task ON follow_ups (host, account, task, number)",
    ),
    (
        # The turns that the user stopped (`stops.py`).
        """CREATE TABLE stops (
            number INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, account TEXT NOT NULL,
            task TEXT NOT NULL, turn TEXT NOT NULL, items INTEGER NOT NULL, at REAL NOT NULL
        )""",
        "CREATE UNIQUE INDEX stops_of_a_task ON stops (host, account, task, turn)",
    ),
    (
        # The run that begins with a message, once it has started.
        "ALTER TABLE follow_ups ADD COLUMN run TEXT NOT NULL DEFAULT ''",
    ),
    (
        # Starts of runs that are under way (`run_starts.py`). `owner` is the process that starts the run (`lease.py`).
        """CREATE TABLE run_starts (
            number INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, account TEXT NOT NULL,
            project INTEGER NOT NULL, task TEXT NOT NULL, state TEXT NOT NULL, files TEXT NOT NULL,
            owner TEXT NOT NULL, at REAL NOT NULL
        )""",
        "CREATE UNIQUE INDEX run_starts_of_a_task ON run_starts (host, account, project, task)",
    ),
)
