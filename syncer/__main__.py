"""`syncer` and `python -m syncer`."""

from __future__ import annotations

from syncer.cli import main

if __name__ == "__main__":
    main()
