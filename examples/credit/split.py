"""Second job: applicants into training and test rows, seven to three among the good and among the bad.

``python split.py`` reads ``credit.applicants`` and writes ``credit.train`` and ``credit.test``.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc
from pipeline import Govern, JobRun

TRAIN_SHARE = 0.7
SALT = b"credit.split/1"


def in_train(row_id: int, label: str) -> bool:
    """Where a row belongs, from its id and label alone: it never moves when others come or go."""
    draw = hashlib.sha256(SALT + label.encode() + row_id.to_bytes(8, "big")).digest()
    return int.from_bytes(draw[:8], "big") < TRAIN_SHARE * 2**64


def split(applicants: pa.Table) -> tuple[pa.Table, pa.Table]:
    """(training rows, test rows), without the row ids: each dataset mints its own."""
    rows = zip(applicants["govern_row_id"].to_pylist(), applicants["credit"].to_pylist(), strict=True)
    mask = pa.array([in_train(row_id, label) for row_id, label in rows], pa.bool_())
    table = applicants.drop_columns(["govern_row_id"])
    return table.filter(mask), table.filter(pc.invert(mask))


def main() -> None:
    """Run the job once."""
    with Govern() as govern:
        source = govern.latest("credit.applicants")
        job = JobRun(govern, "credit.split", __file__)
        job.reads(govern.namespace(), "credit.applicants", source["version"])
        with job.telling():
            train, test = split(govern.read("credit.applicants", source["version"]))
            for name, table in (("credit.train", train), ("credit.test", test)):
                written = govern.write(name, table, key="applicant")
                job.wrote(written, table)
                print(f"{name}@{written['version']}: {written['rows']} applicants")


if __name__ == "__main__":
    main()
