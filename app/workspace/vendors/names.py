"""The vendors and their authorization servers: names, paths, scopes, and the one client that is known by hand."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "/_vendor"
CLOSED_CLIENT_ID = "timesheet-partner"
CLOSED_CLIENT_SECRET = "timesheet-partner-secret"


@dataclass(frozen=True)
class Issuer:
    """One vendor's authorization server. Its issuer identifier is the workspace's origin followed by `path`.

    `registers` says whether clients can register themselves. `scopes` are pairs of a name and words for a person.
    """

    path: str
    name: str
    registers: bool
    scopes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Vendor:
    """One protected MCP server. `issuer` is None where an API key is the credential."""

    slug: str
    name: str
    issuer: Issuer | None

    @property
    def path(self) -> str:
        return f"{PREFIX}/{self.slug}/mcp"


LEDGER_ISSUER = Issuer(
    PREFIX, "Ledger", True, (("invoices:read", "See invoices"), ("invoices:write", "Draft invoices and void them"))
)
TIMESHEET_ISSUER = Issuer(f"{PREFIX}/partners", "Timesheet", False, (("entries", "See and add time entries"),))
LEDGER = Vendor("ledger", "Ledger", LEDGER_ISSUER)
TIMESHEET = Vendor("timesheet", "Timesheet", TIMESHEET_ISSUER)
POSTBOX = Vendor("postbox", "Postbox", None)
ISSUERS = (LEDGER_ISSUER, TIMESHEET_ISSUER)
VENDORS = {vendor.slug: vendor for vendor in (LEDGER, POSTBOX, TIMESHEET)}
