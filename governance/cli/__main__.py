"""``python -m governance.cli`` is ``govern``."""

from __future__ import annotations

from governance.cli import main

if __name__ == "__main__":
    main()
