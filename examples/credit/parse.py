"""First job: the lines of the landing file become applicants, named, decoded and validated.

``python parse.py`` reads ``credit.raw`` and writes ``credit.applicants``.
"""

from __future__ import annotations

import attributes
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
from pipeline import Govern, JobRun

SCHEMA = pandera.DataFrameSchema(
    {
        "applicant": pandera.Column("int64", pandera.Check.ge(1), unique=True),
        **{name: pandera.Column("int64", pandera.Check.in_range(*bounds)) for name, bounds in attributes.NUMBERS.items()},
        **{name: pandera.Column(str, pandera.Check.isin(list(codes.values()))) for name, codes in attributes.CODES.items()},
        "sex": pandera.Column(str, pandera.Check.isin(attributes.SEXES)),
        "marital_status": pandera.Column(str, pandera.Check.isin([status for _, status in attributes.PERSONAL.values()])),
        "age_group": pandera.Column(str, pandera.Check.isin(attributes.AGE_GROUPS)),
        "credit": pandera.Column(str, pandera.Check.isin(list(attributes.CREDIT.values()))),
        "remarks": pandera.Column(str, nullable=True),
    },
    strict=True,
    checks=pandera.Check(lambda frame: len(frame) > 0, error="no applicants"),
)


def parse(raw: pa.Table) -> pa.Table:
    """The applicants in the lines that are not empty (an erased line is); the applicant number is the number of the line.

    Raises:
        ValueError: a line cannot be read; the message names the line, never its words.
        pandera.errors.SchemaErrors: a column is not as :data:`SCHEMA` says.
    """
    lines = zip(raw["govern_row_id"].to_pylist(), raw["line"].to_pylist(), strict=True)
    frame = pd.DataFrame([attributes.read_line(number, line) for number, line in lines if line and line.strip()])
    if not frame.empty:
        frame["remarks"] = frame["remarks"].astype("string").astype(object).where(frame["remarks"].notna(), None)
    valid = SCHEMA.validate(frame, lazy=True)
    fields = [pa.field(name, pa.int64() if kind == "int64" else pa.string()) for name, kind in valid.dtypes.astype(str).items()]
    return pa.Table.from_pylist(valid.to_dict("records"), schema=pa.schema(fields))


def main() -> None:
    """Run the job once."""
    with Govern() as govern:
        raw = govern.rescan("credit.raw")
        job = JobRun(govern, "credit.parse", __file__)
        job.reads(raw["openlineage"]["namespace"], "credit.raw", raw["version"])
        with job.telling():
            table = parse(govern.read("credit.raw", raw["version"]))
            written = govern.write("credit.applicants", table, key="applicant")
            job.wrote(written, table)
        print(f"credit.applicants@{written['version']}: {written['rows']} applicants")


if __name__ == "__main__":
    main()
