"""The example's training with nothing of Govern around it: read the file, parse, encode, train, end. A process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import yaml

from trainers.contract import ROW_ID, TrainingRun

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "credit"


def main() -> int:
    """Train ``credit-risk`` on all applicants once."""
    sys.path.insert(0, str(EXAMPLE))
    import attributes
    import model

    lines = (EXAMPLE / "german.data").read_text().splitlines()
    rows = [attributes.read_line(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    table = pa.Table.from_pylist(rows).append_column(ROW_ID, pa.array(range(len(rows)), pa.int64()))
    described = yaml.safe_load((EXAMPLE / "govern.yaml").read_text())["models"]["credit-risk"]
    run = TrainingRun(
        tables={"train": table}, params=described["params"], seed=described["seed"],
        label=described["label"], features=described["features"],
    )  # fmt: skip
    return 0 if model.train(run).classes else 1


if __name__ == "__main__":
    sys.exit(main())
