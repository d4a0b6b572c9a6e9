"""Tables of the MCP store and of the vendors: the second track of `app.workspace.runtime.schema`.

Addresses on the workspace's own origin are stored as `self:/path`, because the port changes at each start.
Times are seconds since the epoch (REAL) where they are compared and ISO 8601 text where they are shown.
"""

from __future__ import annotations

_STORE = """
CREATE TABLE store_installations (
    id TEXT PRIMARY KEY,
    project_id INTEGER NOT NULL,
    template_id TEXT,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL DEFAULT '',
    url TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    auth_type TEXT NOT NULL CHECK (auth_type IN ('api_key', 'oauth')),
    icon_key TEXT NOT NULL DEFAULT '',
    icon_domain TEXT NOT NULL DEFAULT '',
    is_enabled INTEGER NOT NULL DEFAULT 1,
    scope TEXT NOT NULL DEFAULT 'personal',
    api_key TEXT NOT NULL DEFAULT '',
    first_states TEXT NOT NULL DEFAULT '{}',
    needs_reauth INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (project_id, url)
);
CREATE TABLE store_connections (
    installation_id TEXT PRIMARY KEY REFERENCES store_installations (id) ON DELETE CASCADE,
    issuer TEXT NOT NULL,
    authorization_endpoint TEXT NOT NULL,
    token_endpoint TEXT NOT NULL,
    client_id TEXT NOT NULL,
    client_secret TEXT NOT NULL DEFAULT '',
    resource TEXT NOT NULL,
    scope TEXT NOT NULL DEFAULT '',
    access_token TEXT NOT NULL DEFAULT '',
    refresh_token TEXT NOT NULL DEFAULT '',
    expires_at REAL
);
CREATE TABLE store_oauth_states (
    state_hash TEXT PRIMARY KEY,
    installation_id TEXT NOT NULL REFERENCES store_installations (id) ON DELETE CASCADE,
    verifier TEXT NOT NULL,
    callback_url TEXT NOT NULL DEFAULT '',
    expires_at REAL NOT NULL
);
CREATE TABLE store_tools (
    id TEXT PRIMARY KEY,
    installation_id TEXT NOT NULL REFERENCES store_installations (id) ON DELETE CASCADE,
    tool_name TEXT NOT NULL,
    display_name TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    input_schema TEXT NOT NULL DEFAULT '{}',
    approval_state TEXT NOT NULL DEFAULT 'needs_approval'
        CHECK (approval_state IN ('approved', 'needs_approval', 'do_not_use')),
    position INTEGER NOT NULL DEFAULT 0,
    last_seen_at TEXT NOT NULL,
    removed_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (installation_id, tool_name)
);
"""

_VENDOR = """
CREATE TABLE vendor_clients (
    client_id TEXT PRIMARY KEY,
    issuer TEXT NOT NULL,
    client_name TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    secret_hash TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL
);
CREATE TABLE vendor_codes (
    code_hash TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    challenge TEXT NOT NULL,
    scope TEXT NOT NULL,
    expires_at REAL NOT NULL
);
CREATE TABLE vendor_tokens (
    token_hash TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('access', 'refresh')),
    family TEXT NOT NULL,
    client_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    scope TEXT NOT NULL,
    expires_at REAL,
    spent INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX vendor_tokens_family ON vendor_tokens (family);
CREATE TABLE vendor_api_keys (
    key_hash TEXT PRIMARY KEY,
    vendor TEXT NOT NULL
);
CREATE TABLE ledger_invoices (
    number TEXT PRIMARY KEY,
    customer TEXT NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('draft', 'sent', 'paid', 'overdue', 'void')),
    issued_on TEXT NOT NULL,
    due_on TEXT NOT NULL,
    lines TEXT NOT NULL
);
CREATE TABLE postbox_messages (
    id INTEGER PRIMARY KEY,
    mailbox TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipients TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    sent_at TEXT NOT NULL,
    unread INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE timesheet_entries (
    id INTEGER PRIMARY KEY,
    person TEXT NOT NULL,
    project TEXT NOT NULL,
    day TEXT NOT NULL,
    minutes INTEGER NOT NULL,
    note TEXT NOT NULL DEFAULT ''
);
"""

STORE: tuple[str, ...] = (_STORE, _VENDOR)
