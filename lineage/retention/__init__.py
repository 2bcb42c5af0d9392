"""Raw events kept for as long as a policy says: before they are destroyed the graph is kept as a signed snapshot."""

from __future__ import annotations

from lineage.retention.age import age
from lineage.retention.archive import Archive, Snapshot
from lineage.retention.known import Retirements
from lineage.retention.restore import restore
from lineage.retention.retain import Retention

__all__ = ["Archive", "Retention", "Retirements", "Snapshot", "age", "restore"]
