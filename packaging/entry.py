"""What the frozen executable runs: the same entry point as `burrow` and `python -m app`."""

from __future__ import annotations

from app.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main())
