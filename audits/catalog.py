"""Which metrics each audit gives, so that a policy with a typo is refused before anything runs. Free of torch and numpy."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["METRICS"]

_RATES = ("selection_rate", "error_rate", "true_positive_rate", "false_positive_rate")

METRICS: Mapping[str, tuple[str, ...]] = {
    "perf.noninferior": ("accuracy", "majority_share", "accuracy_difference", "auc", "auc_difference"),
    "fair.rates": (*_RATES, *(f"{r}_difference" for r in _RATES), "equalized_odds_difference"),
    "robust.evasion": ("clean_accuracy", "robust_accuracy", "accuracy_drop", "evasion_success", "zero_gradient_share", "random_only_share"),
    "explain.additive": (
        "additivity_residual",
        "rank_agreement",
        "sign_agreement",
        "importance_agreement",
        "top_overlap",
        "base_value_gap",
        "protected_share",
    ),
    "regression.cases": ("failed_cases", "cases"),
}
"""audit → names of its metrics."""
