"""What served when, from the graph alone: every deployment that an event told of, as of a day, as known on a day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lineage.model import Edge, Node
from lineage.ports import GraphStore

__all__ = ["Deployed", "deployed"]

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A model version in service: the Deployment, the version, and the edge that holds both times."""

    deployment: Node
    version: Node
    edge: Edge

    @property
    def active_from(self) -> int:
        """Valid from, UTC ns."""
        return self.edge.valid_from

    @property
    def active_to(self) -> int | None:
        """Valid until; ``None`` while it serves, as far as was known."""
        return self.edge.valid_to


def deployed(
    store: GraphStore, *, versions: Sequence[str] | None = None, as_of: int | None = None, known_at: int | None = None
) -> Iterator[Deployed]:
    """Deployments that served at ``as_of`` as known at ``known_at``; without them all that are known now, past ones too.

    Args:
        store: the graph.
        versions: keys of the versions asked about; ``None`` for all of every model.
        as_of: UTC ns.
        known_at: UTC ns.
    """
    for keys in _pages(store, versions):
        found = store.neighbours(keys, ["DEPLOYED_AS"], as_of=as_of, known_at=known_at)
        nodes = {node.key: node for node in found.nodes}
        for edge in found.edges:
            yield Deployed(deployment=nodes[edge.target], version=nodes[edge.source], edge=edge)


def _pages(store: GraphStore, versions: Sequence[str] | None) -> Iterator[list[str]]:
    if versions is not None:
        for first in range(0, len(versions), _PAGE):
            yield list(versions[first : first + _PAGE])
        return
    after: str | None = None
    while True:
        page = store.find("Deployment", limit=_PAGE, after=after)
        if not page:
            return
        yield [node.key for node in page]
        after = page[-1].key
