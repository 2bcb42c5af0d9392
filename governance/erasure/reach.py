"""Which model versions rest on which committed rows, and where they serve: kept ready between two questions.

A question is about one person and the models are thousands, so all that does not depend on the person is made once: the recipe as a value,
the row sets of its training inputs, the environments. It is made anew when a record of a version or of a deployment changed, whichever
process changed it (:class:`governance.registry.find.Parsed` asks the ledger for each question), and only for what changed.

Models that were trained on the same row sets hold the same rows of a person, so those are counted once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from governance.plan import VersionFacts
from governance.registry.deployments import Deployments
from governance.registry.models import Models, spec_from_json
from trainers.model import TrainSpec

__all__ = ["Reach"]

Input = tuple[str, str, str]
"""Dataset, digest of the committed row set, and ``dataset@version``."""

_MOST_KEPT: Final = 100_000
"""Facts that are kept for the next question: some ten megabytes."""


@dataclass(frozen=True, slots=True)
class _Version:
    """A model version without what depends on whom is asked for."""

    body: Mapping[str, Any]
    spec: TrainSpec
    inputs: tuple[Input, ...]
    """Of the training: what a model was only tested on is not in it."""


@dataclass(frozen=True, slots=True)
class _Group:
    """The versions that were trained on the same row sets, by their places in the order of all."""

    inputs: tuple[Input, ...]
    places: Sequence[int]


class _Known:
    """What was made of one state of the records; the records themselves tell whether it still is that state."""

    def __init__(self, versions: Sequence[Mapping[str, Any]], serving: Sequence[Mapping[str, Any]], made: Sequence[_Version]) -> None:
        self.versions = versions
        self.serving = serving
        self.made = made
        self.live: dict[tuple[str, int], tuple[str, ...]] = {}
        for body in serving:
            key = (body["model"], body["version"])
            self.live[key] = (*self.live.get(key, ()), body["environment"])
        places: dict[tuple[Input, ...], list[int]] = {}
        for place, one in enumerate(made):
            places.setdefault(one.inputs, []).append(place)
        self.groups = tuple(_Group(inputs, tuple(listed)) for inputs, listed in places.items())
        self._facts: dict[tuple[int, tuple[int | None, ...]], Sequence[VersionFacts]] = {}
        self._size = 0

    def facts(self, number: int, counts: tuple[int | None, ...]) -> Sequence[VersionFacts]:
        """The versions of a group against so many rows in each of its inputs. Most people have as many rows as many others."""
        found = self._facts.get((number, counts))
        if found is None:
            group = self.groups[number]
            found = _facts(group, counts, [self.made[place] for place in group.places], self.live)
            if self._size + len(found) > _MOST_KEPT:
                self._facts, self._size = {}, 0
            self._facts[number, counts] = found
            self._size += len(found)
        return found


class Reach:
    """From committed rows to model versions and where they serve; any number of threads."""

    def __init__(self, models: Models, deployments: Deployments) -> None:
        self._models = models
        self._deployments = deployments
        self._kept = _Known((), (), ())

    def live(self) -> Mapping[tuple[str, int], tuple[str, ...]]:
        """Model version → the environments where it serves, for those that serve."""
        return self._known().live

    def facts(self, counted: Callable[[str, str], int | None]) -> tuple[VersionFacts, ...]:
        """Every model version against the rows that are asked about, in the order of their records.

        Args:
            counted: how many of the rows a row set of a dataset holds; ``None`` where its commitments are not kept. Asked once for each.
        """
        known = self._known()
        once: dict[tuple[str, str], int | None] = {}
        found: list[VersionFacts | None] = [None] * len(known.made)
        for number, group in enumerate(known.groups):
            for dataset, row_set, _name in group.inputs:
                if (dataset, row_set) not in once:
                    once[dataset, row_set] = counted(dataset, row_set)
            counts = tuple(once[dataset, row_set] for dataset, row_set, _name in group.inputs)
            for place, facts in zip(group.places, known.facts(number, counts), strict=True):
                found[place] = facts
        return tuple(facts for facts in found if facts is not None)

    def _known(self) -> _Known:
        versions, serving, kept = self._models.all_versions(), self._deployments.serving(), self._kept
        if kept.versions is versions and kept.serving is serving:
            return kept
        before = {id(one.body): one for one in kept.made}  # they hold their records, so no other record has the same id
        self._kept = kept = _Known(versions, serving, tuple(before.get(id(body)) or _made(body) for body in versions))
        return kept


def _made(body: Mapping[str, Any]) -> _Version:
    given = body["spec"]["inputs"]
    inputs = tuple((one["dataset"], one["row_set"], f"{one['dataset']}@{one['version']}") for one in given if one["role"] != "test")
    return _Version(body, spec_from_json(body["spec"]), inputs)


def _facts(
    group: _Group, counts: tuple[int | None, ...], versions: Sequence[_Version], live: Mapping[tuple[str, int], tuple[str, ...]]
) -> Sequence[VersionFacts]:
    told = list(zip(group.inputs, counts, strict=True))
    hits = MappingProxyType({name: count for (_dataset, _row_set, name), count in told if count is not None})
    unknown = tuple(name for (_dataset, _row_set, name), count in told if count is None)
    return tuple(
        VersionFacts(
            model=one.body["model"],
            version=one.body["version"],
            hits=hits,
            environments=live.get((one.body["model"], one.body["version"]), ()),
            destroyed=one.body["destroyed_at"] is not None,
            spec=one.spec,
            unknown=unknown,
        )
        for one in versions
    )
