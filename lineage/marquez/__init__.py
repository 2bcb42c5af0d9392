"""Marquez's reads, so that its clients and its web page work on this graph.

Pure views: names and facts in, JSON out, in the shapes of Marquez 0.51 (``docs/reference/marquez.md`` lists every difference that is
meant). The flow:

names → known (facts) → datasets, jobs, runs → flow (the lineage graph), columns, runlineage, lists, events, stats → views
"""

from lineage.marquez.names import parse_node_id
from lineage.marquez.views import MAX_NODES, VERSIONS_READ, Marquez

__all__ = ["MAX_NODES", "VERSIONS_READ", "Marquez", "parse_node_id"]
