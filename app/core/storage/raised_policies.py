"""RaisedPolicies: tools that are allowed for one call, written down before they are allowed.

Several processes share the record. A row belongs to the process that makes the call. Once that has died, whoever reads
the record takes the row over and sets the policy back. Without a row nothing is set back: what the user decided about
the tool meanwhile holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.storage.lease import LOCKS_FOLDER, Lease
from app.core.storage.repository import Repository, Unreadable, number, text
from app.core.storage.values import RaisedPolicy

if TYPE_CHECKING:
    import sqlite3

    from app.core.storage.values import Scope

LOCK_PREFIX = "raised-"
SAME_TOOL = "host = ? AND account = ? AND project = ? AND server = ? AND tool = ?"
COLUMNS = "number, project, server, tool, former, owner, over"


class RaisedPolicies(Repository):
    """All methods raise `StorageTrouble`. Their changes are durable when they return."""

    def attach(self) -> None:
        path = self._database.path
        self._lease = Lease(None if path is None else path.parent / LOCKS_FOLDER, LOCK_PREFIX)

    async def add(self, scope: Scope, project: int, server: str, tool: str, former: str) -> RaisedPolicy:
        """Write down that a tool is about to be allowed for a call of this process.

        `former` is what it is set back to. A row of an earlier call of the tool has it too, and goes before it: the
        caller may have read the state that an earlier call raised.
        """
        key = (*scope, project, server, tool)

        def change(connection: sqlite3.Connection) -> RaisedPolicy:
            earlier = connection.execute(
                f"SELECT former FROM raised_policies WHERE {SAME_TOOL} ORDER BY number LIMIT 1", key
            ).fetchone()
            kept = former if earlier is None else str(earlier[0])
            made = connection.execute(
                "INSERT INTO raised_policies (host, account, project, server, tool, former, owner)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*key, kept, self._lease.take()),
            )
            return RaisedPolicy(made.lastrowid or 0, project, server, tool, kept)

        return await self._run(lambda: self._database.write(change, durable=True))

    async def finish(self, scope: Scope, raised: RaisedPolicy) -> bool:
        """The call of a row is over. Returns whether the policy is to be set back now, and the row removed after that.

        Not while another call of the tool is under way, and not where the user decided about the tool meanwhile.
        """
        key = (*scope, raised.project, raised.server, raised.tool)

        def change(connection: sqlite3.Connection) -> bool:
            rows = connection.execute(
                f"SELECT number, owner, over FROM raised_policies WHERE {SAME_TOOL}", key
            ).fetchall()
            if not any(row[0] == raised.number for row in rows):
                return False
            others = [row for row in rows if row[0] != raised.number and not row[2]]
            if any(owner == self._lease.owner or self._lease.alive_elsewhere(owner) for _, owner, _ in others):
                connection.execute("DELETE FROM raised_policies WHERE number = ?", (raised.number,))
                return False
            connection.execute("UPDATE raised_policies SET over = 1 WHERE number = ?", (raised.number,))
            return True

        return await self._run(lambda: self._database.write(change, durable=True))

    async def due(self, scope: Scope) -> tuple[RaisedPolicy, ...]:
        """The rows whose policy is to be set back by this process: of its calls that are over, and of dead processes.

        This process owns them from now on. A tool with a call under way is left to that call.
        """

        def change(connection: sqlite3.Connection) -> tuple[RaisedPolicy, ...]:
            found: list[RaisedPolicy] = []
            rows = self._rows(connection, scope)
            elsewhere = {owner for owner in {owner for _, owner, _ in rows} if self._lease.alive_elsewhere(owner)}
            calling = {*elsewhere, self._lease.owner}
            busy = {_tool(row) for row, owner, over in rows if not over and owner in calling}
            for row, owner, _over in rows:
                if owner in elsewhere or _tool(row) in busy:
                    continue
                connection.execute(
                    "UPDATE raised_policies SET owner = ?, over = 1 WHERE number = ?", (self._lease.take(), row.number)
                )
                found.append(row)
            return tuple(found)

        if not await self.all(scope):
            # The lock of this process is not made for nothing.
            return ()
        return await self._run(lambda: self._database.write(change, durable=True))

    async def all(self, scope: Scope) -> tuple[RaisedPolicy, ...]:
        """Every row of an account, of every process."""

        def job() -> tuple[RaisedPolicy, ...]:
            rows = self._database.read(
                f"SELECT {COLUMNS} FROM raised_policies WHERE host = ? AND account = ? ORDER BY number", tuple(scope)
            )
            readable = self._readable("raised_policies", ("number",), rows, _decode)
            return tuple(row for row, _, _ in readable)

        return await self._run(job)

    async def remove_over(self, scope: Scope, project: int, server: str, tool: str) -> None:
        """The policy of a tool was set back: forget its calls that are over."""
        await self._delete(f"{SAME_TOOL} AND over", (*scope, project, server, tool))

    async def remove(self, scope: Scope, project: int, server: str, tool: str) -> None:
        """The user decided about a tool: forget its calls, so that nothing is set back after them."""
        await self._delete(SAME_TOOL, (*scope, project, server, tool))

    async def _delete(self, where: str, parameters: tuple[object, ...]) -> None:
        def change(connection: sqlite3.Connection) -> None:
            connection.execute(f"DELETE FROM raised_policies WHERE {where}", parameters)

        await self._run(lambda: self._database.write(change, durable=True))

    def close(self) -> None:
        """Give up what this process owns: another one sets it back."""
        self._lease.release()

    def _rows(self, connection: sqlite3.Connection, scope: Scope) -> list[tuple[RaisedPolicy, str, bool]]:
        found = []
        for row in connection.execute(
            f"SELECT {COLUMNS} FROM raised_policies WHERE host = ? AND account = ? ORDER BY number", tuple(scope)
        ):
            try:
                found.append(_decode(row))
            except Unreadable:
                # `all` sets it aside.
                continue
        return found


def _tool(row: RaisedPolicy) -> tuple[int, str, str]:
    return row.project, row.server, row.tool


def _decode(row: tuple[Any, ...]) -> tuple[RaisedPolicy, str, bool]:
    """A row, its owner, and whether its call is over. Raises `Unreadable`."""
    at, project, server, tool, former, owner, over = row
    raised = RaisedPolicy(int(number(at)), int(number(project)), text(server), text(tool), text(former))
    return raised, text(owner), bool(over)
