"""Limits: how much, how many and how long of everything that an HTTP client may take up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, durations in seconds. Durations are totals, so a client that trickles does not prolong them."""

    head_bytes: int = 32 * 1024
    """Of the request line with all headers; beyond it 431, or 414 where the request line alone is longer."""
    headers: int = 100
    body_bytes: int = 4 * 1024 * 1024
    """Of a request's body, without the framing of chunks; beyond it 413."""
    bodies_bytes: int = 64 * 1024 * 1024
    """Of all bodies together that came in more than one piece, until answered; beyond it 503 for the slowest."""
    framing_bytes: int = 32 * 1024
    """Of all sizes, extensions and trailers of a body in chunks. More than 5,000 chunks do not fit."""
    connections: int = 256
    """Of all clients. Beyond it, the connection that has waited longest without a request is closed."""
    requests: int = 64
    """How many requests may wait for the head of their answer at once. More of them wait for their turn."""
    turn_seconds: float = 2.0
    """How long a request counts among these: those whose server hangs must not hold up those for other servers."""
    head_seconds: float = 10.0
    """From the first byte of a head to its end; for the first request of a connection from its opening."""
    body_seconds: float = 60.0
    """From the end of the head to the end of the body."""
    idle_seconds: float = 60.0
    """Without a request, after the first."""
    queue_seconds: float = 30.0
    """How long a request waits for its turn; beyond it 503."""
    stalled_seconds: float = 300.0
    """How long a client may read nothing at all of an answer that waits for it."""
    linger_seconds: float = 2.0
    """How long a refused client may go on sending, so that it reads why before its connection breaks."""
