"""Import what audits use, once, before a process forks for its jobs."""

from __future__ import annotations

import warnings
from importlib.metadata import version

__all__ = ["import_libraries"]

_NAMES = ("torch", "adversarial-robustness-toolbox", "captum", "shap", "scipy")


def import_libraries() -> dict[str, str]:
    """Distribution → version, once imported. Nothing is computed: a thread pool that exists before a fork does not exist after it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import art.attacks.evasion
        import art.estimators.classification
        import captum.attr
        import scipy.stats
        import shap
        import torch
    loaded = (art.attacks.evasion, art.estimators.classification, captum.attr, scipy.stats, shap, torch)
    assert all(loaded)
    return {name: version(name) for name in _NAMES}
