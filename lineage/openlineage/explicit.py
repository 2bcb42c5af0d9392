"""The explicit ``lineage`` facet (1-0-0, experimental): who feeds whom, in the words of the target.

* On the job of a RunEvent its entries add up over the run; on the job of a JobEvent, and on the dataset of a DatasetEvent, the
  latest event replaces what was said before. The fold does both; here one facet is read.
* ``inputs: []`` states that there is no tracked upstream. An entry without ``inputs`` says only what its ``fields`` name.
* A JOB without namespace and name is the event's own job. As the source of a field it adds how that field was made, and no flow;
  as the source of a whole dataset it stands for all that the job read.

Source: OpenLineage, proposals/explicit_lineage_facet/ExplicitLineageGuide.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from lineage.model import ColumnFlow, DatasetRef, JobFlow, JobRef, Json
from lineage.openlineage.facets import Name, is_text, name_of, objects, transformations

__all__ = ["Stated", "dataset_lineage", "with_job_lineage"]

_Job = tuple[str, str, str]


@dataclass(slots=True)
class Stated:
    """What a facet says of one target."""

    datasets: set[Name] = field(default_factory=set)
    jobs: set[_Job] = field(default_factory=set)
    """(namespace, name, run id or "") of other jobs."""
    from_own: bool = False
    """The event's own job is named as a source of the whole."""
    columns: set[ColumnFlow] = field(default_factory=set)
    closed: bool = False
    """``inputs`` is there, so that an empty list of sources is a statement."""

    @property
    def says(self) -> bool:
        """Whether anything is stated at all."""
        return self.closed or bool(self.datasets or self.jobs or self.from_own or self.columns)


def dataset_lineage(found: Mapping[str, Json], job: JobRef | None, run_id: str | None) -> Stated | None:
    """What the ``lineage`` facet of a dataset says; ``None`` where there is none, or none that says anything."""
    facet = found.get("lineage")
    if not isinstance(facet, dict):
        return None
    stated = Stated()
    _read(facet, job, run_id, stated)
    return stated if stated.says else None


def with_job_lineage(
    job: JobRef, run_id: str | None, inputs: tuple[DatasetRef, ...], outputs: tuple[DatasetRef, ...]
) -> tuple[tuple[DatasetRef, ...], tuple[DatasetRef, ...], tuple[JobFlow, ...]]:
    """Inputs and outputs with what the job's ``lineage`` facet adds, and what it says of jobs.

    An entry for a dataset becomes a statement of that output; what the own job is said to read becomes an input too.
    """
    facet = job.facets.get("lineage")
    if not isinstance(facet, dict):
        return inputs, outputs, ()
    targets: dict[Name, Stated] = {}
    jobs: dict[_Job, Stated] = {}
    read: set[Name] = set()
    for entry in objects(facet.get("entries")):
        kind, target = entry.get("type"), name_of(entry)
        if kind == "DATASET" and target is not None:
            _read(entry, job, run_id, targets.setdefault(target, Stated()))
        elif kind == "JOB" and (of := _job(entry, job, run_id)) is not None:
            stated = jobs.setdefault(of, Stated())
            _read(entry, job, run_id, stated)
            if _own(of, job, run_id):
                read |= stated.datasets
    flows = [
        JobFlow(of[0], of[1], of[2], tuple(sorted(stated.datasets)), tuple(sorted(stated.jobs))) for of, stated in sorted(jobs.items())
    ]
    listed = {(one.namespace, one.name) for one in inputs}
    added = tuple(DatasetRef(namespace=namespace, name=name) for namespace, name in sorted(read - listed))
    result = []
    for one in outputs:
        said = targets.pop((one.namespace, one.name), Stated())
        if said.says:
            result.append(_joined(one, said))
        else:  # beside this facet columnLineage does not count
            result.append(one if one.columns is None or one.lineage_sources is not None else dataclasses.replace(one, columns=None))
    result += [_joined(DatasetRef(namespace=ns, name=name), stated) for (ns, name), stated in sorted(targets.items()) if stated.says]
    return inputs + added, tuple(result), tuple(flow for flow in flows if flow.datasets or flow.jobs)


def _joined(ref: DatasetRef, stated: Stated) -> DatasetRef:
    return dataclasses.replace(
        ref,
        lineage_sources=tuple(sorted(stated.datasets | set(ref.lineage_sources or ()))),
        lineage_jobs=tuple(sorted(stated.jobs | set(ref.lineage_jobs))),
        lineage_from_job=stated.from_own or ref.lineage_from_job,
        columns=tuple(sorted(stated.columns | (set(ref.columns or ()) if ref.lineage_sources is not None else set()))),
    )


def _read(holder: Mapping[str, Json], job: JobRef | None, run_id: str | None, into: Stated) -> None:
    """Join what an entry, or a dataset's facet, says into ``into``."""
    inputs, fields = holder.get("inputs"), holder.get("fields")
    into.closed = into.closed or isinstance(inputs, list)
    for one in objects(inputs):
        _source(one, "", job, run_id, into)
    for column, said in fields.items() if isinstance(fields, dict) else ():
        if is_text(column) and isinstance(said, dict):
            for one in objects(said.get("inputs")):
                _source(one, column, job, run_id, into)


def _source(one: Mapping[str, Json], column: str, job: JobRef | None, run_id: str | None, into: Stated) -> None:
    """One source of a whole target (``column`` "") or of one of its columns."""
    if one.get("type") == "JOB":
        named = _job(one, job, run_id)
        if named is None:
            return
        if not _own(named, job, run_id):
            into.jobs.add(named)
        elif not column:
            into.from_own = True
        if column or one.get("transformations"):
            into.columns |= {ColumnFlow(column, "JOB", named[0], named[1], "", *how) for how in transformations(one)}
        return
    pair = name_of(one)
    if pair is None:
        return
    into.datasets.add(pair)
    source = one.get("field")
    source = str(source) if is_text(source) else ""
    if column or source:
        into.columns |= {ColumnFlow(column, "DATASET", *pair, source, *how) for how in transformations(one)}


def _job(one: Mapping[str, Json], job: JobRef | None, run_id: str | None) -> _Job | None:
    """(namespace, name, run id or "") of a JOB; without namespace and name it is the event's own, in the event's own run."""
    namespace, name, run = one.get("namespace"), one.get("name"), one.get("runId")
    run = str(run) if is_text(run) else ""
    if namespace is None and name is None:
        return None if job is None else (job.namespace, job.name, run or run_id or "")
    if not is_text(namespace) or not is_text(name):
        return None
    if job is not None and (namespace, name) == (job.namespace, job.name) and not run:
        run = run_id or ""
    return str(namespace), str(name), run


def _own(named: _Job, job: JobRef | None, run_id: str | None) -> bool:
    return job is not None and named == (job.namespace, job.name, run_id or "")
