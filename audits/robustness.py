"""``robust.evasion``: how many right answers an attacker turns by small changes to the numeric features (ART's FGSM and PGD).

What ART's defaults would get wrong is set here: the true labels are given (else a wrong answer gets "repaired"), the clip ranges come
from the data and not from images, columns that may not change are masked, and the step of every column is in its own standard deviation.
A row counts as robust when it is right and survives *every* attack. Random search stands beside the gradients: where it wins, or where
gradients are zero, they are masked, and the measurement cannot carry a pass.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from audits.bounds import Interval, wilson
from audits.finding import Measured, metric, percent, table, unknown
from audits.model import Metric, Verdict
from audits.subject import AuditError, ModelUnderAudit, encode, logit_module, truth
from audits.tied import Ties, find_ties, led

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from numpy.typing import NDArray

__all__ = ["attackable", "evasion"]

_MASKED_SHARE = 0.01


def attackable(
    model: ModelUnderAudit, reference: NDArray[np.float32], immutable: frozenset[str], ties: Ties | None = None
) -> NDArray[np.bool_]:
    """Encoded columns an attacker may move: numeric (more than two values), made by one mutable feature which makes no other column.

    With ``ties`` a column that follows another is none of its own (:mod:`audits.tied`).
    """
    leads = np.ones(reference.shape[1], dtype=np.bool_)
    if ties is not None:
        leads[:] = False
        leads[ties.leaders] = True
    owners: dict[int, list[str]] = {}
    for feature, columns in model.groups.items():
        for column in columns:
            owners.setdefault(column, []).append(feature)
    free = np.zeros(reference.shape[1], dtype=np.bool_)
    for column, features in owners.items():
        alone = len(features) == 1 and sum(leads[one] for one in model.groups[features[0]]) == 1 and features[0] not in immutable
        free[column] = alone and leads[column] and len(np.unique(reference[:, column])) > 2
    return free


class _Attacker:
    """The ART estimator and the limits every attack must keep."""

    def __init__(
        self,
        module: torch.nn.Module,
        x: NDArray[np.float32],
        y: NDArray[np.int64],
        *,
        classes: int,
        reference: NDArray[np.float32],
        free: NDArray[np.bool_],
    ) -> None:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library's own deprecations say nothing about the model
            from art.estimators.classification import PyTorchClassifier
        everything = np.concatenate([reference, x])
        self.x, self.y, self.free, self.module = x, y, free, module
        self.low, self.high = everything.min(axis=0), everything.max(axis=0)
        sd = reference.std(axis=0, dtype=np.float64).astype(np.float32)
        self.sd = np.where(free & (sd > 0), sd, 1.0).astype(np.float32)
        self.onehot = np.eye(classes, dtype=np.float32)[y]
        self.estimator = PyTorchClassifier(
            model=module,
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=(x.shape[1],),
            nb_classes=classes,
            # ART wants a range in every column; one that is constant in the data (a category nobody has) may not move: the mask holds it
            clip_values=(self.low, np.where(self.high > self.low, self.high, self.low + 1).astype(np.float32)),
            device_type="cpu",
        )

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.int64]:
        import torch

        with torch.no_grad():
            logits = self.module(torch.from_numpy(x)).double().numpy()
        if not np.isfinite(logits).all():
            raise AuditError("the model gives outputs that are not finite inside the range of the data")
        found: NDArray[np.int64] = logits.argmax(axis=1).astype(np.int64)
        return found

    def zero_gradient_share(self) -> float:
        """Share of rows for which the loss has no gradient in any column that may move."""
        import torch

        x = torch.from_numpy(self.x.copy()).requires_grad_()
        loss = torch.nn.functional.cross_entropy(self.module(x), torch.from_numpy(self.y), reduction="sum")
        gradient = torch.autograd.grad(loss, x)[0].numpy()[:, self.free]
        if not np.isfinite(gradient).all():
            raise AuditError("the model's gradients are not finite")
        return float((np.abs(gradient).max(axis=1) == 0).mean())

    def gradient_attacks(self, eps: float, steps: int) -> dict[str, NDArray[np.float32]]:
        """Attacked rows by FGSM and PGD, each checked to stay within the limits."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent

            radius = (eps * self.sd).astype(np.float32)
            step = (radius * max(2.5 / steps, 0.1)).astype(np.float32)
            attacks = {
                "fgsm": FastGradientMethod(self.estimator, norm=np.inf, eps=radius, eps_step=radius, batch_size=len(self.x)),
                "pgd": ProjectedGradientDescent(
                    self.estimator, norm=np.inf, eps=radius, eps_step=step, max_iter=steps, batch_size=len(self.x), verbose=False
                ),
            }
            mask = np.broadcast_to(self.free.astype(np.float32), self.x.shape)
            found = {name: np.asarray(a.generate(x=self.x, y=self.onehot, mask=mask), dtype=np.float32) for name, a in attacks.items()}
        for name, x in found.items():
            self._check(name, x, radius)
        return found

    def random_attack(self, eps: float, tries: int, seed: int) -> NDArray[np.bool_]:
        """Rows that some random corner of the box turns."""
        rng = np.random.default_rng(seed)
        turned = np.zeros(len(self.x), dtype=np.bool_)
        for _ in range(tries):
            signs = rng.choice(np.array([-1.0, 1.0], dtype=np.float32), size=self.x.shape) * self.free
            moved = np.clip(self.x + signs * (eps * self.sd), self.low, self.high).astype(np.float32)
            turned |= self.predict(moved) != self.y
        return turned

    def _check(self, name: str, x: NDArray[np.float32], radius: NDArray[np.float32]) -> None:
        moved = np.abs(x - self.x)
        slack = 1e-4 * (1 + np.abs(self.x))
        outside = (x < self.low - slack) | (x > self.high + slack)
        if (moved[:, ~self.free] > 0).any() or (moved > radius + slack).any() or outside.any():
            raise AuditError(f"{name} left the limits it was given: its result was not counted")


def _at(
    attacker: _Attacker, right: NDArray[np.bool_], eps: float, config: Mapping[str, Any], seed: int
) -> tuple[list[Metric], list[Any], int]:
    """Metrics and table row at one eps, and how many rows only the random search turned."""
    confidence = float(config.get("confidence", 0.95))
    n, clean = len(right), int(right.sum())
    survived = right.copy()
    by_attack: dict[str, int] = {}
    for name, x in attacker.gradient_attacks(eps, int(config.get("steps", 20))).items():
        turned = right & (attacker.predict(x) != attacker.y)
        by_attack[name] = int(turned.sum())
        survived &= ~turned
    turned_by_gradient = right & ~survived
    turned_randomly = right & attacker.random_attack(eps, int(config.get("random_tries", 20)), seed)
    only_random = int((turned_randomly & ~turned_by_gradient).sum())
    survived &= ~turned_randomly
    robust = int(survived.sum())
    group, how = f"eps={eps:g}", f"wilson {percent(confidence)}"
    metrics = [
        metric("robust_accuracy", wilson(robust, n, confidence), method=how, n=n, group=group),
        metric("accuracy_drop", wilson(clean - robust, n, confidence), method=how, n=n, direction="lower", group=group),
    ]
    if clean:
        success: Interval = wilson(clean - robust, clean, confidence)
        metrics.append(
            metric("evasion_success", success, method=how, n=clean, direction="lower", group=group, note="of the rows that are right")
        )
    else:
        metrics.append(unknown("evasion_success", "the model gets no row right", direction="lower", group=group))
    return metrics, [eps, *(by_attack[a] for a in ("fgsm", "pgd")), int(turned_randomly.sum()), clean - robust, clean, n], only_random


def evasion(model: ModelUnderAudit, tables: Mapping[str, pa.Table], config: Mapping[str, Any], *, seed: int = 0) -> Measured:
    """Worst case over FGSM, PGD and random search, for every eps of the policy.

    Args:
        model: the candidate.
        tables: ``test`` is attacked; ``train`` (else ``test``) gives ranges and standard deviations.
        config: ``eps`` (list, in standard deviations of each encoded column), ``steps`` (PGD, 20), ``random_tries`` (20),
            ``immutable`` (features that may not change), ``confidence`` (0.95), ``masked_share`` (0.01): rows without a gradient,
            or turned by random search alone, above which the measurement cannot carry a pass.
        seed: of the random search.

    Returns:
        metrics ``clean_accuracy``; per eps (group ``eps=0.1``) ``robust_accuracy``, ``evasion_success``, ``accuracy_drop``;
        ``zero_gradient_share`` and ``random_only_share``.

    Raises:
        AuditError: outputs or gradients that are not finite, no eps, or an attack that left its limits.
    Source: Goodfellow et al. 2015, arXiv:1412.6572 (FGSM); Madry et al. 2018, arXiv:1706.06083 (PGD); Athalye et al. 2018,
        arXiv:1802.00420 (signs of masked gradients).
    """
    confidence = float(config.get("confidence", 0.95))
    radii = [float(e) for e in config.get("eps", ())]
    if not radii or min(radii) <= 0:
        raise AuditError("no eps above zero is named: nothing could be attacked")
    immutable = frozenset(str(f) for f in config.get("immutable", ()))
    strangers = sorted(immutable - set(model.features))
    test = tables["test"]
    y = truth(model, test)
    x = encode(model, test).numpy()
    reference = encode(model, tables["train"]).numpy() if "train" in tables else x
    ties = find_ties(reference, model.groups)
    free = attackable(model, reference, immutable, ties)
    numeric = [f for f in model.features if any(free[c] for c in model.groups.get(f, ()))]
    limits = (
        f"only the numeric features {', '.join(numeric) or '(none)'} were attacked; categories were held fixed",
        "an attack that fails shows no robustness against a stronger one",
    )
    if not free.any():
        note = "no numeric feature may be changed, so this attack does not exist"
        groups = [f"eps={e:g}" for e in radii]
        return Measured(
            metrics=tuple(unknown(m, note, group=g) for g in groups for m in ("robust_accuracy", "evasion_success")), limits=limits
        )
    module, leaders = logit_module(model), ties.leaders
    if len(leaders) < len(free):
        module, x, reference, free = led(module, ties), x[:, leaders], reference[:, leaders], free[leaders]
    attacker = _Attacker(module, x, y, classes=len(model.classes), reference=reference, free=free)
    right = attacker.predict(x) == y
    n = len(y)
    metrics = [metric("clean_accuracy", wilson(int(right.sum()), n, confidence), method=f"wilson {percent(confidence)}", n=n)]
    rows, only_random = [], 0
    for i, eps in enumerate(sorted(radii)):
        found, row, random_wins = _at(attacker, right, eps, config, seed + i)
        metrics += found
        rows.append(row)
        only_random = max(only_random, random_wins)
    flat, share = attacker.zero_gradient_share(), only_random / n
    metrics += [
        Metric(name="zero_gradient_share", value=round(flat, 6), n=n, direction="lower"),
        Metric(name="random_only_share", value=round(share, 6), n=n, direction="lower", note="turned by random search and by no gradient"),
    ]
    allowed = float(config.get("masked_share", _MASKED_SHARE))
    masked = flat > allowed or share > allowed
    said = f"gradients are masked (zero for {flat:.1%} of rows, beaten by random search on {share:.1%}): the attack proves little"
    knows = "the attacker knows the model, and moves each encoded numeric column within eps standard deviations and the data's range"
    columns = ("eps (sd)", "turned by FGSM", "turned by PGD", "by random search", "by any", "right before", "rows")
    return Measured(
        metrics=tuple(metrics),
        reasons=(said,) if masked else (),
        at_most=Verdict.INCONCLUSIVE if masked else Verdict.PASS,
        tables={"attacks": table(columns, rows)},
        assumptions=(knows, *(f"{f} is no feature of the model: it cannot be attacked" for f in strangers)),
        limits=limits,
        library=_library(),
    )


def _library() -> str:
    from importlib.metadata import version

    return f"adversarial-robustness-toolbox {version('adversarial-robustness-toolbox')}, torch {version('torch')}"
