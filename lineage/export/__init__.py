"""A lineage graph in other people's formats: DOT, SVG, W3C PROV-JSON, OpenLineage. Pure functions, values in and text out."""

from __future__ import annotations

from lineage.export.dot import dot
from lineage.export.picture import Picture, picture
from lineage.export.prov import Invalidated, prov
from lineage.export.svg import svg

__all__ = ["Invalidated", "Picture", "dot", "picture", "prov", "svg"]
