"""The switch of the vendors: ends their credentials, or makes them slow or unreachable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.workspace.runtime.fault_rules import FaultRule
from app.workspace.vendors.names import VENDORS, Vendor
from app.workspace.web.errors import validation
from app.workspace.web.fields import choice, integer, number

if TYPE_CHECKING:
    import sqlite3

    from app.workspace.runtime.context import Workspace


async def switch(workspace: Workspace, body: dict[str, object]) -> object:
    """`POST /_faults/vendor`: `{"vendor": slug, "action": …, "times"?, "seconds"?}`.

    - `kill_access_token` deletes the vendor's access tokens (Postbox: its API keys); the store refreshes by itself.
    - `revoke` deletes every credential of the vendor; the person must connect it again.
    - `unreachable` and `slow` apply to the next `times` requests (null: until they are lifted).
    - `reachable` lifts both.
    """
    slug = choice(body, "vendor", VENDORS)
    actions = ("kill_access_token", "revoke", "unreachable", "slow", "reachable")
    action = choice(body, "action", actions)
    if slug is None or action is None:
        raise validation("This field is required.", "vendor" if slug is None else "action", "required")
    vendor, path = VENDORS[slug], VENDORS[slug].path
    if action in ("kill_access_token", "revoke"):
        return {"ended": await workspace.db.run(lambda db: _kill(db, vendor, action))}
    if action == "reachable":
        workspace.faults.remove("vendor", path)
        return {"reachable": slug}
    times = integer(body, "times", minimum=1, maximum=1_000_000)
    delay = (number(body, "seconds", minimum=0, maximum=600) or 0.0) if action == "slow" else 0.0
    drop = "before_commit" if action == "unreachable" else None
    return workspace.faults.add(FaultRule(0, path, delay=delay, drop=drop, left=times, kind="vendor")).as_json()


def _kill(db: sqlite3.Connection, vendor: Vendor, action: str) -> int:
    if vendor.issuer is None:
        return db.execute("DELETE FROM vendor_api_keys WHERE vendor = ?", (vendor.slug,)).rowcount
    kinds = ("access",) if action == "kill_access_token" else ("access", "refresh")
    marks = ", ".join("?" for _kind in kinds)
    query = f"DELETE FROM vendor_tokens WHERE issuer = ? AND kind IN ({marks})"
    return db.execute(query, (vendor.issuer.path, *kinds)).rowcount
