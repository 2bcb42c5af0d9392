"""Compile answers into papers: pure functions from the JSON of the HTTP contract to a :class:`reports.model.Dossier`."""

from __future__ import annotations

from governance.dossier.disgorgement import disgorgement_certificate
from governance.dossier.erasure import erasure_certificate
from governance.dossier.impact import dataset_impact
from governance.dossier.levels import AssetLevel, asset_levels, headline
from governance.dossier.traces import incident_trace, model_trace, prediction_trace

__all__ = [
    "AssetLevel",
    "asset_levels",
    "dataset_impact",
    "disgorgement_certificate",
    "erasure_certificate",
    "headline",
    "incident_trace",
    "model_trace",
    "prediction_trace",
]
