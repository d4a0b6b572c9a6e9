"""Tools for the project's events: counts, trends, a chart, breakdowns, funnels, an export, a slow report."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mcp.server.mcpserver import Context  # noqa: TC002 - read at run time from the tools' signatures
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, EmbeddedResource, ImageContent, TextContent, TextResourceContents
from pydantic import BaseModel, Field

from app.workspace.mcp.server import DESTROYS, READS, WorkspaceMcpServer, caller
from app.workspace.mcp.state import McpState
from app.workspace.pictures import trend_chart

if TYPE_CHECKING:
    import sqlite3

EventName = Annotated[str, Field(description="Name of an event, see list_event_names", min_length=1, max_length=200)]
EventNames = Annotated[list[EventName], Field(description="One column or line each", min_length=1, max_length=5)]
Days = Annotated[int, Field(description="How many days back, counting today", ge=1, le=365)]
PropertyName = Annotated[str, Field(description="Name of an event property", pattern=r"^[\w$ .-]{1,100}$")]


class Equals(BaseModel):
    """A property has exactly this value."""

    kind: Literal["equals"] = "equals"
    property: PropertyName
    value: str | float | bool


class OneOf(BaseModel):
    """A property has one of these values."""

    kind: Literal["one_of"]
    property: PropertyName
    values: list[str | float | bool] = Field(min_length=1, max_length=50)


class Between(BaseModel):
    """A number lies within bounds, both included; an absent bound is open."""

    kind: Literal["between"]
    property: PropertyName
    low: float | None = None
    high: float | None = None


class IsSet(BaseModel):
    """A property is there, or with `present` false is not."""

    kind: Literal["is_set"]
    property: PropertyName
    present: bool = True


Filter = Annotated[Equals | OneOf | Between | IsSet, Field(discriminator="kind")]
Filters = Annotated[list[Filter], Field(description="All of these must hold", max_length=20)]


class Count(BaseModel):
    """How often an event happened."""

    event: str
    days: int
    events: int
    people: int


class NameCount(BaseModel):
    """An event name and how often it occurs."""

    event: str
    events: int
    first_seen: str
    last_seen: str


class TrendRow(BaseModel):
    """One day."""

    day: str
    counts: list[int] = Field(description="One count per event, in the order of `events`")


class Trend(BaseModel):
    """Events per day."""

    events: list[str]
    rows: list[TrendRow]


class Slice(BaseModel):
    """One value of a property."""

    value: str
    events: int
    people: int


class FunnelStep(BaseModel):
    """A step with conditions."""

    event: EventName
    name: str = Field(default="", description="What to call the step", max_length=100)
    filters: list[Filter] = Field(default_factory=list, max_length=20)


class Window(BaseModel):
    """A span of time."""

    amount: int = Field(ge=1, le=90)
    unit: Literal["hours", "days"] = "days"


class StepResult(BaseModel):
    """How many people got to a step."""

    name: str
    people: int
    share_of_first: float = Field(description="From 0 to 1")


class Forgotten(BaseModel):
    """What was deleted."""

    person: str
    events: int


def add_event_tools(server: WorkspaceMcpServer) -> None:
    """Register the tools for events."""
    _add_counts(server)
    _add_trends(server)
    _add_people(server)
    _add_report(server)


def _add_counts(server: WorkspaceMcpServer) -> None:
    db = server.workspace.db

    @server.needing("project:read", title="List event names", annotations=READS)
    async def list_event_names(ctx: Context) -> list[NameCount]:
        """List the events the project records, the most frequent first."""
        who = await caller(server, ctx)
        query = (
            "SELECT event, count(*) AS events, min(timestamp) AS first_seen, max(timestamp) AS last_seen FROM events"
            " WHERE project_id = ? GROUP BY event ORDER BY events DESC, event"
        )
        rows = await db.read(lambda at: at.execute(query, (who.project,)).fetchall())
        return [NameCount(**dict(row)) for row in rows]

    @server.needing("project:read", title="Count events", annotations=READS)
    async def count_events(ctx: Context, event: EventName, days: Days = 30, filters: Filters | None = None) -> Count:
        """Count an event and the people behind it, optionally only where properties match."""
        who = await caller(server, ctx)
        where, values = _where(who.project, event, _since(server, days), filters or [])
        query = f"SELECT count(*), count(DISTINCT distinct_id) FROM events WHERE {where}"
        events, people = await db.read(lambda at: at.execute(query, values).fetchone())
        return Count(event=event, days=days, events=events, people=people)

    @server.needing("project:read", title="Break an event down", annotations=READS)
    async def breakdown_events(
        ctx: Context,
        event: EventName,
        by: PropertyName,
        days: Days = 30,
        limit: Annotated[int, Field(ge=1, le=50)] = 10,
    ) -> list[Slice]:
        """Count an event per value of one of its properties, the most frequent first."""
        who = await caller(server, ctx)
        where, values = _where(who.project, event, _since(server, days), [])
        query = (
            "SELECT coalesce(CAST(json_extract(properties, ?) AS TEXT), '(none)') AS value, count(*) AS events,"
            f" count(DISTINCT distinct_id) AS people FROM events WHERE {where}"
            " GROUP BY value ORDER BY events DESC, value LIMIT ?"
        )
        rows = await db.read(lambda at: at.execute(query, (_path(by), *values, limit)).fetchall())
        return [Slice(**dict(row)) for row in rows]

    @server.needing("project:read", title="Export events", annotations=READS)
    async def export_events(
        ctx: Context, event: EventName, days: Days = 7, limit: Annotated[int, Field(ge=1, le=1000)] = 200
    ) -> CallToolResult:
        """Export events as CSV, the newest first."""
        who = await caller(server, ctx)
        where, values = _where(who.project, event, _since(server, days), [])
        query = f"SELECT timestamp, distinct_id, properties FROM events WHERE {where} ORDER BY timestamp DESC LIMIT ?"
        rows = await db.read(lambda at: at.execute(query, (*values, limit)).fetchall())
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(("timestamp", "distinct_id", "properties"))
        writer.writerows(tuple(row) for row in rows)
        contents = TextResourceContents(
            uri=f"workspace://exports/{len(rows)}.csv", mime_type="text/csv", text=text.getvalue()
        )
        words = TextContent(type="text", text=f"{len(rows)} rows of {event}")
        return CallToolResult(content=[words, EmbeddedResource(type="resource", resource=contents)])


def _add_trends(server: WorkspaceMcpServer) -> None:
    db = server.workspace.db

    async def trend(project: int, events: list[str], days: int) -> Trend:
        since = _since(server, days)
        query = (
            "SELECT substr(timestamp, 1, 10) AS day, event, count(*) AS events FROM events WHERE project_id = ?"
            " AND timestamp >= ? AND event IN (SELECT value FROM json_each(?)) GROUP BY day, event"
        )
        rows = await db.read(lambda at: at.execute(query, (project, since, json.dumps(events))).fetchall())
        found = {(row["day"], row["event"]): row["events"] for row in rows}
        first = datetime.fromisoformat(since).date()
        shown = [(first + timedelta(days=ago)).isoformat() for ago in range(days)]
        return Trend(
            events=events,
            rows=[TrendRow(day=day, counts=[found.get((day, one), 0) for one in events]) for day in shown],
        )

    @server.needing("project:read", title="Event trend", annotations=READS)
    async def event_trend(ctx: Context, events: EventNames, days: Days = 14) -> Trend:
        """Count events per day as a table."""
        who = await caller(server, ctx)
        return await trend(who.project, events, days)

    @server.needing("project:read", title="Chart events", annotations=READS)
    async def chart_events(ctx: Context, events: EventNames, days: Days = 30) -> CallToolResult:
        """Draw events per day as a picture."""
        who = await caller(server, ctx)
        found = await trend(who.project, events, days)
        lines = [(name, [row.counts[at] for row in found.rows]) for at, name in enumerate(events)]
        labels = [row.day[5:] for row in found.rows]
        title = f"{', '.join(events)}: last {days} days"
        picture = await asyncio.to_thread(trend_chart, title, labels, lines)
        return CallToolResult(
            content=[
                ImageContent(type="image", data=base64.b64encode(picture).decode(), mime_type="image/png"),
                TextContent(type="text", text=title),
            ]
        )


def _add_people(server: WorkspaceMcpServer) -> None:
    db = server.workspace.db

    @server.needing("project:read", title="Funnel", annotations=READS)
    async def funnel(
        ctx: Context,
        steps: Annotated[
            list[str | FunnelStep],
            Field(description="Steps in order: an event name, or a step with conditions", min_length=2, max_length=8),
        ],
        within: Annotated[int | Window, Field(description="A number of days, or an amount with its unit")] = 14,
        days: Days = 30,
    ) -> list[StepResult]:
        """Count the people who took the steps one after another within a span of time."""
        who = await caller(server, ctx)
        wanted = [step if isinstance(step, FunnelStep) else FunnelStep(event=step) for step in steps]
        span = within if isinstance(within, Window) else Window(amount=max(1, min(within, 90)))
        since = _since(server, days)
        reached = await db.read(
            lambda at: _funnel(at, who.project, wanted, since, timedelta(**{span.unit: span.amount}))
        )
        first = reached[0] or 1
        return [
            StepResult(name=step.name or step.event, people=people, share_of_first=round(people / first, 4))
            for step, people in zip(wanted, reached, strict=True)
        ]

    @server.needing("project:write", title="Forget a person", annotations=DESTROYS)
    async def forget_person(
        ctx: Context,
        person: Annotated[str, Field(description="The distinct_id", min_length=1, max_length=200)],
        confirm: Annotated[Literal["delete"], Field(description="Must be the word delete")],
    ) -> Forgotten:
        """Delete every event of one person for good."""
        who = await caller(server, ctx)
        query = "DELETE FROM events WHERE project_id = ? AND distinct_id = ?"
        deleted = await db.run(lambda at: at.execute(query, (who.project, person)).rowcount)
        if not deleted:
            raise ToolError(f"There are no events of {person}.")
        return Forgotten(person=person, events=deleted)


def _add_report(server: WorkspaceMcpServer) -> None:
    @server.needing("project:read", title="Slow report", annotations=READS)
    async def slow_report(
        ctx: Context,
        seconds: Annotated[float, Field(description="How long it takes", ge=0.1, le=600)] = 10,
        steps: Annotated[int, Field(description="How often it reports progress", ge=1, le=100)] = 10,
    ) -> str:
        """Write a report on the last 30 days, slowly, telling its progress. It can be cancelled."""
        who = await caller(server, ctx)
        state = server.workspace.state(McpState)
        state.reports_running += 1
        try:
            for step in range(steps):
                await ctx.report_progress(step, steps, f"Part {step + 1} of {steps}")
                await asyncio.sleep(seconds / steps)
            await ctx.report_progress(steps, steps, "Done")
        except asyncio.CancelledError:
            state.reports_cancelled += 1
            raise
        finally:
            state.reports_running -= 1
        since = _since(server, 30)
        query = "SELECT event, distinct_id FROM events WHERE project_id = ? AND timestamp >= ?"
        rows = await server.workspace.db.read(lambda at: at.execute(query, (who.project, since)).fetchall())
        counts = Counter(row["event"] for row in rows)
        people = len({row["distinct_id"] for row in rows})
        lines = [f"- {event}: {count}" for event, count in counts.most_common()]
        return "\n".join((f"# The last 30 days\n\n{len(rows)} events of {people} people.\n", *lines))


def _since(server: WorkspaceMcpServer, days: int) -> str:
    """Midnight UTC of the first of the last `days` days, today included, in the form that timestamps are stored in."""
    today = datetime.fromtimestamp(server.workspace.clock.now(), UTC).date()
    return f"{(today - timedelta(days=days - 1)).isoformat()}T00:00:00"


def _path(name: str) -> str:
    # `PropertyName` allows no quotation mark, so a name cannot leave its quotes.
    return f'$."{name}"'


def _where(project: int, event: str, since: str, filters: list[Any]) -> tuple[str, list[Any]]:
    """The condition and its values for one event since a time."""
    parts = ["project_id = ?", "event = ?", "timestamp >= ?"]
    values: list[Any] = [project, event, since]
    for one in filters:
        field, path = "json_extract(properties, ?)", _path(one.property)
        if isinstance(one, Equals):
            parts.append(f"{field} = ?")
            values += [path, one.value]
        elif isinstance(one, OneOf):
            parts.append(f"{field} IN ({', '.join('?' for _value in one.values)})")
            values += [path, *one.values]
        elif isinstance(one, Between):
            parts.append(f"(? IS NULL OR {field} >= ?) AND (? IS NULL OR {field} <= ?)")
            values += [one.low, path, one.low, one.high, path, one.high]
        else:
            parts.append(f"({field} IS NOT NULL) = ?")
            values += [path, one.present]
    return " AND ".join(parts), values


def _funnel(at: sqlite3.Connection, project: int, steps: list[FunnelStep], since: str, span: timedelta) -> list[int]:
    """How many people took each step after the ones before it, within `span` of their first step."""
    reached = [0] * len(steps)
    progress: dict[str, tuple[int, datetime]] = {}
    moments: list[tuple[datetime, str, int]] = []
    for number, step in enumerate(steps):
        where, values = _where(project, step.event, since, list(step.filters))
        for stamp, person in at.execute(f"SELECT timestamp, distinct_id FROM events WHERE {where}", values):
            moments.append((datetime.fromisoformat(stamp), person, number))
    for moment, person, number in sorted(moments):
        done, start = progress.get(person, (0, moment))
        if done == number and done < len(steps) and (done == 0 or moment - start <= span):
            progress[person] = (done + 1, start if done else moment)
            reached[done] += 1
    return reached
