"""``explain.additive``: do two independent explainers (SHAP, Captum) add up to what the model says, and do they agree?

Both explain the margin of the favourable class against one explicit background: means of at least ten rows each, so that no row of a
person is kept or shown. SHAP's DeepExplainer is exact for the layers it knows and silently wrong for others; the residual is measured here
and where it is too large SHAP's kernel explainer, which knows no layers, takes its place, and the finding says so.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from audits.bounds import Interval, median_interval, wilson
from audits.finding import Measured, metric, percent, table, unknown
from audits.model import Evidence, Metric
from audits.subject import AuditError, ModelUnderAudit, class_indices, encode, logit_module, rounded

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from numpy.typing import NDArray

__all__ = ["Attribution", "additive", "centroids", "integrated_gradients", "margin_module", "shap_values"]

MIN_ROWS_PER_CENTROID = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What an explainer said of some rows."""

    values: NDArray[np.float64]
    """``[rows, encoded columns]``, in logits of the margin."""
    base: float
    method: str


def margin_module(model: ModelUnderAudit, favourable: int) -> torch.nn.Module:
    """The favourable class's logit less the mean of the others, ``[n, 1]``: one linear layer behind the model."""
    import torch

    k = len(model.classes)
    last = torch.nn.Linear(k, 1, bias=False)
    weights = torch.full((1, k), -1.0 / (k - 1))
    weights[0, favourable] = 1.0
    with torch.no_grad():
        last.weight.copy_(weights)
    return torch.nn.Sequential(logit_module(model), last).eval().requires_grad_(requires_grad=False)


def centroids(x: torch.Tensor, outputs: NDArray[np.float64], count: int) -> torch.Tensor:
    """Means of ``count`` runs of rows in the order of the model's output, each of at least ten rows; no row of a person is left in it.

    Raises:
        AuditError: fewer than ten rows.
    """
    import torch

    count = min(count, len(x) // MIN_ROWS_PER_CENTROID)
    if count < 1:
        raise AuditError(f"a background needs at least {MIN_ROWS_PER_CENTROID} rows, there are {len(x)}")
    order = np.argsort(outputs, kind="stable")
    return torch.stack([x[torch.from_numpy(part)].double().mean(dim=0).float() for part in np.array_split(order, count)])


def _values(module: torch.nn.Module, x: torch.Tensor) -> NDArray[np.float64]:
    import torch

    with torch.no_grad():
        out: NDArray[np.float64] = module(x).double().numpy()[:, 0]
    if not np.isfinite(out).all():
        raise AuditError(f"the model gives outputs that are not finite for {int((~np.isfinite(out)).sum())} of {len(out)} rows")
    return out


def residual(module: torch.nn.Module, x: torch.Tensor, attribution: Attribution) -> float:
    """Largest ``|sum of attributions + base - output|`` over the rows, as a share of the range of the outputs (of 1 for a constant)."""
    out = _values(module, x)
    spread = float(out.max() - out.min()) or 1.0
    return float(np.abs(attribution.values.sum(axis=1) + attribution.base - out).max()) / spread


def shap_values(module: torch.nn.Module, x: torch.Tensor, background: torch.Tensor, tolerance: float, seed: int) -> tuple[Attribution, str]:
    """SHAP values by DeepExplainer, or by the kernel explainer where the former does not add up; with a sentence when it did not.

    Source: Lundberg, Lee 2017, arXiv:1705.07874.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        said = ""
        base = float(_values(module, background).mean())
        try:
            with torch.enable_grad():
                raw = np.asarray(shap.DeepExplainer(module, background).shap_values(x, check_additivity=False), dtype=np.float64)
            deep = Attribution(values=raw.reshape(len(x), x.shape[1]), base=base, method="shap DeepExplainer")
            off = residual(module, x, deep)
            if np.isfinite(deep.values).all() and off <= tolerance:
                return deep, ""
            said = f"SHAP's DeepExplainer does not add up here (residual {off:.2g} of the range): its kernel explainer was used"
        except (AttributeError, AssertionError, IndexError, RuntimeError, ValueError) as error:
            said = f"SHAP's DeepExplainer cannot take this network ({type(error).__name__}): its kernel explainer was used"

        def call(rows: NDArray[np.float64]) -> NDArray[np.float64]:
            return _values(module, torch.from_numpy(np.asarray(rows, dtype=np.float32)))

        # it draws from numpy's global generator (shap issue 1835): seeded here, and given back as it was
        before = np.random.get_state()  # noqa: NPY002 - the library knows no other
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            raw = shap.KernelExplainer(call, background.numpy()).shap_values(x.numpy(), nsamples=1024, l1_reg=False, silent=True)
        finally:
            np.random.set_state(before)  # noqa: NPY002
    found = np.asarray(raw, dtype=np.float64).reshape(len(x), x.shape[1])
    return Attribution(values=found, base=base, method="shap KernelExplainer"), said


def integrated_gradients(
    module: torch.nn.Module, x: torch.Tensor, background: torch.Tensor, tolerance: float, max_steps: int
) -> tuple[Attribution, int]:
    """Captum's integrated gradients, averaged over the background; steps are doubled until they add up, at most to ``max_steps``.

    Source: Sundararajan et al. 2017, arXiv:1703.01365 (completeness).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from captum.attr import IntegratedGradients

    def total(rows: torch.Tensor) -> torch.Tensor:
        # captum takes one gradient per output; rows do not meet in eval mode, so the gradient of their sum is the same, 50 times faster
        found: torch.Tensor = module(rows).sum().reshape(1)
        return found

    n, k = len(x), len(background)
    inputs, baselines = x.repeat_interleave(k, dim=0), background.repeat(n, 1)
    base = float(_values(module, background).mean())
    steps = 32
    while True:
        raw = IntegratedGradients(total).attribute(inputs, baselines=baselines, n_steps=steps, internal_batch_size=max(65536, n * k))
        values = raw.detach().double().numpy().reshape(n, k, -1).mean(axis=1)
        found = Attribution(values=values, base=base, method=f"captum IntegratedGradients, {steps} steps")
        if steps * 2 > max_steps or residual(module, x, found) <= tolerance:
            return found, steps
        steps *= 2


def _by_feature(model: ModelUnderAudit, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Attributions per raw feature; a column of two features counts for the first, a constant one for none."""
    taken: set[int] = set()
    columns = []
    for feature in model.features:
        mine = [c for c in model.groups.get(feature, ()) if c not in taken]
        taken.update(mine)
        columns.append(values[:, mine].sum(axis=1))
    return np.stack(columns, axis=1)


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Rank correlation with ties at their mean rank; ``None`` when one side is constant."""
    from scipy.stats import rankdata

    ra, rb = rankdata(a), rankdata(b)
    if ra.std() == 0 or rb.std() == 0:
        return None
    return float(np.corrcoef(ra, rb)[0, 1])


def _agreement(first: NDArray[np.float64], second: NDArray[np.float64], confidence: float) -> list[Metric]:
    """How the two explainers agree: ranks within rows, signs of what matters, ranks of the global importances, the five largest."""
    n = len(first)
    floor = 1e-9 * max(float(np.abs(first).max()), float(np.abs(second).max()), 1e-30)
    a, b = np.where(np.abs(first) < floor, 0.0, first), np.where(np.abs(second) < floor, 0.0, second)
    within = [r for r in (_spearman(np.abs(x), np.abs(y)) for x, y in zip(a, b, strict=True)) if r is not None]
    found: list[Metric] = []
    if within:
        how = f"median over rows, order statistics {percent(confidence)}"
        found.append(metric("rank_agreement", median_interval(within, confidence), method=how, n=len(within)))
    else:
        found.append(unknown("rank_agreement", "the model's answer depends on no feature here"))
    # signs count where a feature carries at least one percent of the row's attribution
    weight = np.abs(a) / np.maximum(np.abs(a).sum(axis=1, keepdims=True), 1e-300)
    matters = weight >= 0.01
    if matters.any():
        same = int((np.sign(a) == np.sign(b))[matters].sum())
        found.append(
            metric(
                "sign_agreement", wilson(same, int(matters.sum()), confidence), method=f"wilson {percent(confidence)}", n=int(matters.sum())
            )
        )
    else:
        found.append(unknown("sign_agreement", "the model's answer depends on no feature here"))
    importance = _spearman(np.abs(a).mean(axis=0), np.abs(b).mean(axis=0))
    if importance is None:
        found.append(unknown("importance_agreement", "the importances are constant"))
    else:
        found.append(Metric(name="importance_agreement", value=rounded(importance), n=n, method="spearman of global importances"))
    top = min(5, a.shape[1])
    best = [set(np.argsort(-np.abs(v).mean(axis=0), kind="stable")[:top].tolist()) for v in (a, b)]
    found.append(Metric(name="top_overlap", value=len(best[0] & best[1]) / top, n=n, method=f"share of the {top} largest in common"))
    return found


def additive(model: ModelUnderAudit, tables: Mapping[str, pa.Table], config: Mapping[str, Any], *, seed: int = 0) -> Measured:
    """Additivity of SHAP and Captum, their agreement, the global importances, and the share of protected attributes.

    Args:
        model: the candidate.
        tables: ``test`` is explained; the background comes from ``train`` (else ``test``).
        config: ``rows`` to explain (60), ``background`` centroids (20), ``tolerance`` of the residual (0.01), ``max_steps`` (1600),
            ``favourable`` (class; the last one), ``protected`` (features), ``confidence`` (0.95).
        seed: of the kernel explainer.

    Returns:
        metrics ``additivity_residual`` (groups ``shap``, ``captum``), ``rank_agreement``, ``sign_agreement``,
        ``importance_agreement``, ``top_overlap``, ``protected_share``, ``base_value_gap``.

    Raises:
        AuditError: outputs that are not finite, or fewer than ten background rows.
    """
    import torch

    confidence, tolerance = float(config.get("confidence", 0.95)), float(config.get("tolerance", 0.01))
    favourable = int(class_indices([config.get("favourable", model.classes[-1])], model.classes)[0])
    module = margin_module(model, favourable)
    test = encode(model, tables["test"])
    if len(test) == 0:
        raise AuditError("there are no rows to explain")
    pick = np.unique(np.linspace(0, len(test) - 1, min(int(config.get("rows", 60)), len(test))).round().astype(np.int64))
    x = test[torch.from_numpy(pick)].contiguous()
    role = "train" if "train" in tables else "test"
    source = encode(model, tables[role]) if role == "train" else test
    outputs = _values(module, source)
    background = centroids(source, outputs, int(config.get("background", 20)))
    explained, said = shap_values(module, x, background, tolerance, seed)
    gradients, steps = integrated_gradients(module, x, background, tolerance, int(config.get("max_steps", 1600)))
    n = len(x)
    metrics = [
        Metric(name="additivity_residual", value=rounded(residual(module, x, a), 4), n=n, direction="lower", group=g, method=a.method)
        for g, a in (("shap", explained), ("captum", gradients))
    ]
    first, second = _by_feature(model, explained.values), _by_feature(model, gradients.values)
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise AuditError("an explainer gave attributions that are not finite")
    metrics += _agreement(first, second, confidence)
    spread = float(outputs.max() - outputs.min()) or 1.0
    gap = abs(explained.base - float(outputs.mean())) / spread
    metrics.append(
        Metric(name="base_value_gap", value=rounded(gap, 4), n=len(source), direction="lower", method="share of the range of the outputs")
    )
    metrics.append(_protected(model, first, [str(p) for p in config.get("protected", ())]))
    return Measured(
        metrics=tuple(metrics),
        reasons=(said,) if said else (),
        tables={"importances": _importances(model, first, second)},
        assumptions=(
            f"the background is {len(background)} means of at least {MIN_ROWS_PER_CENTROID} {role} rows each; another gives other values",
            "features are switched to the background one by one, as if they were independent",
            "the explained number is the margin in logits, not the probability",
        ),
        limits=(
            "an attribution is no cause: correlated features share their credit",
            f"{n} of {len(test)} test rows were explained",
        ),
        evidence=(Evidence(kind="background centroids", sha256=hashlib.sha256(background.numpy().tobytes()).hexdigest()),),
        library=_library(explained, steps),
    )


def _protected(model: ModelUnderAudit, values: NDArray[np.float64], protected: list[str]) -> Metric:
    """Share of all attribution that falls on protected features."""
    total = float(np.abs(values).sum())
    named = [i for i, f in enumerate(model.features) if f in protected]
    if not protected or not total:
        return unknown("protected_share", "no protected feature is named" if not protected else "nothing is attributed", direction="lower")
    share = float(np.abs(values[:, named]).sum()) / total if named else 0.0
    per_row = (np.abs(values[:, named]).sum(axis=1) / np.maximum(np.abs(values).sum(axis=1), 1e-300)).tolist()
    bound: Interval = median_interval(per_row)
    note = f"median row {bound.value:.3f}; proxies of a protected feature are not counted"
    return Metric(name="protected_share", value=rounded(share), n=len(values), direction="lower", method="sum of |attribution|", note=note)


def _importances(model: ModelUnderAudit, first: NDArray[np.float64], second: NDArray[np.float64]) -> dict[str, Any]:
    """Mean |attribution| per feature by both explainers, largest first; four digits."""
    a, b = np.abs(first).mean(axis=0), np.abs(second).mean(axis=0)
    total = float(a.sum()) or 1.0
    order = sorted(range(len(a)), key=lambda i: (-round(float(a[i]), 4), model.features[i]))
    rows = [(model.features[i], round(float(a[i]), 4), round(float(b[i]), 4), round(float(a[i]) / total, 4)) for i in order]
    return table(("feature", "SHAP mean |value|", "Captum mean |value|", "share by SHAP"), rows)


def _library(explained: Attribution, steps: int) -> str:
    from importlib.metadata import version

    captum = f"captum {version('captum')} IntegratedGradients ({steps} steps)"
    return f"{explained.method}, shap {version('shap')}; {captum}; torch {version('torch')}"
