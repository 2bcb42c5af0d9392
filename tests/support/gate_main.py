"""Goes through the gate of a home in a process of its own, and stays there until told: ``python -m tests.support.gate_main HOME inside|alone``."""

from __future__ import annotations

import sys
from pathlib import Path

from governance.adapters.file_gate import FileGate


def main(home: str, how: str) -> None:
    """Say ``in`` once through, and leave with the next line of input."""
    gate = FileGate(Path(home))
    with gate.inside() if how == "inside" else gate.alone():
        print("in", flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
