"""The database's tables as numbered scripts in two tracks.

A released script is never changed, only followed by another one.
"""

from __future__ import annotations

from app.workspace.runtime.store_schema import STORE

APPLICATION_ID = 0x42525257

IDENTITY = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE organizations (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, slug TEXT NOT NULL, ai_approved INTEGER NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE projects (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, organization_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL, timezone TEXT NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE users (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, distinct_id TEXT NOT NULL, email TEXT NOT NULL,
    first_name TEXT NOT NULL, last_name TEXT NOT NULL, current_organization TEXT NOT NULL,
    current_project INTEGER NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE personal_keys (
    hash TEXT PRIMARY KEY, user_id INTEGER NOT NULL, label TEXT NOT NULL, scopes TEXT NOT NULL, created_at REAL NOT NULL
);

CREATE TABLE clients (
    client_id TEXT PRIMARY KEY, name TEXT NOT NULL, dynamic INTEGER NOT NULL, secret_hash TEXT,
    redirect_uris TEXT NOT NULL, grant_types TEXT NOT NULL, response_types TEXT NOT NULL,
    auth_method TEXT NOT NULL, ceiling TEXT, lowered_ceiling TEXT, created_at REAL NOT NULL
);
CREATE TABLE codes (
    hash TEXT PRIMARY KEY, client_id TEXT NOT NULL, user_id INTEGER NOT NULL, redirect_uri TEXT NOT NULL,
    challenge TEXT NOT NULL, scope TEXT NOT NULL, teams TEXT NOT NULL, organizations TEXT NOT NULL,
    expires_at REAL NOT NULL
);
CREATE TABLE grants (
    id INTEGER PRIMARY KEY, client_id TEXT NOT NULL REFERENCES clients (client_id), user_id INTEGER NOT NULL,
    scope TEXT NOT NULL, teams TEXT NOT NULL, organizations TEXT NOT NULL, created_at REAL NOT NULL,
    revoked_at REAL, revoked_because TEXT
);
CREATE TABLE refresh_tokens (
    hash TEXT PRIMARY KEY, grant_id INTEGER NOT NULL REFERENCES grants (id), issued_at REAL NOT NULL,
    spent_at REAL, successor_salt BLOB, successor_scope TEXT, successor_expires_at REAL
);
CREATE TABLE access_tokens (
    hash TEXT PRIMARY KEY, grant_id INTEGER NOT NULL REFERENCES grants (id), refresh_hash TEXT,
    scope TEXT NOT NULL, issued_at REAL NOT NULL, expires_at REAL NOT NULL
);
CREATE INDEX access_tokens_by_grant ON access_tokens (grant_id);
CREATE INDEX refresh_tokens_by_grant ON refresh_tokens (grant_id);
"""

TASKS = """
CREATE TABLE tasks (
    id TEXT PRIMARY KEY, project_id INTEGER NOT NULL REFERENCES projects (id), task_number INTEGER NOT NULL,
    title TEXT NOT NULL, title_manually_set INTEGER NOT NULL, description TEXT NOT NULL,
    origin_product TEXT NOT NULL, runtime TEXT NOT NULL, repository TEXT, repositories TEXT NOT NULL,
    github_integration INTEGER, github_user_integration TEXT, json_schema TEXT, signal_report TEXT,
    internal INTEGER NOT NULL, archived INTEGER NOT NULL, archived_at TEXT, created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL, last_activity_at TEXT NOT NULL, created_by INTEGER NOT NULL, ci_prompt TEXT,
    channel TEXT, deleted INTEGER NOT NULL DEFAULT 0,
    UNIQUE (project_id, task_number)
);
CREATE INDEX tasks_by_age ON tasks (project_id, deleted, created_at);
CREATE TABLE runs (
    id TEXT PRIMARY KEY, task_id TEXT NOT NULL REFERENCES tasks (id), stage TEXT, branch TEXT, status TEXT NOT NULL,
    environment TEXT NOT NULL, runtime_adapter TEXT, provider TEXT, model TEXT, reasoning_effort TEXT,
    error_message TEXT, output TEXT, state TEXT NOT NULL, created_by INTEGER NOT NULL, created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL, completed_at TEXT
);
CREATE INDEX runs_by_task ON runs (task_id, created_at);
CREATE TABLE log_entries (
    position INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL REFERENCES runs (id), entry TEXT NOT NULL
);
CREATE INDEX log_entries_by_run ON log_entries (run_id, position);
CREATE TABLE pins (
    user_id INTEGER NOT NULL, task_id TEXT NOT NULL REFERENCES tasks (id), pinned_at TEXT NOT NULL,
    PRIMARY KEY (user_id, task_id)
);
"""

PROJECT_DATA = """
CREATE TABLE events (
    id INTEGER PRIMARY KEY, project_id INTEGER NOT NULL REFERENCES projects (id), event TEXT NOT NULL,
    distinct_id TEXT NOT NULL, timestamp TEXT NOT NULL, properties TEXT NOT NULL
);
CREATE INDEX events_by_name ON events (project_id, event, timestamp);
CREATE TABLE documents (
    id TEXT PRIMARY KEY, project_id INTEGER NOT NULL REFERENCES projects (id), title TEXT NOT NULL,
    summary TEXT NOT NULL, markdown TEXT NOT NULL, updated_at TEXT NOT NULL
);
"""

STAGED_FILES = """
CREATE TABLE staged_files (
    id TEXT PRIMARY KEY, task_id TEXT NOT NULL REFERENCES tasks (id), name TEXT NOT NULL, type TEXT NOT NULL,
    content_type TEXT NOT NULL, size INTEGER NOT NULL, key TEXT NOT NULL, expires_at REAL NOT NULL, content BLOB,
    finalized INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX staged_files_by_task ON staged_files (task_id);
"""

CODE_HOST = """
CREATE TABLE code_accounts (
    id TEXT PRIMARY KEY, user_id INTEGER NOT NULL UNIQUE, installation_id TEXT NOT NULL, login TEXT NOT NULL,
    created_at TEXT NOT NULL
);
"""

RUN_FILES = """
ALTER TABLE staged_files ADD COLUMN run_id TEXT REFERENCES runs (id);
ALTER TABLE staged_files ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE staged_files ADD COLUMN uploaded_at TEXT;
CREATE INDEX staged_files_by_run ON staged_files (run_id);
"""

DISMISSED_FILES = """
ALTER TABLE staged_files ADD COLUMN dismissed INTEGER NOT NULL DEFAULT 0;
"""

TRACKS: dict[str, tuple[str, ...]] = {
    "core": (IDENTITY, TASKS, PROJECT_DATA, STAGED_FILES, CODE_HOST, RUN_FILES, DISMISSED_FILES),
    "store": STORE,
}
