"""DP-SGD (Abadi et al. 2016, arXiv:1607.00133) by Opacus, with the privacy accounted twice.

1. The sample rate is batch_size / rows; each step takes every row independently with that probability (Poisson sampling).
2. The noise multiplier is the smallest, to a hundredth of epsilon, for which all steps stay within the target by RDP
   (Mironov, Talwar, Zhang 2019, arXiv:1908.10530; an upper bound).
3. Each row's gradient is clipped to ``max_grad_norm``; Gaussian noise is drawn from a generator seeded by the operating system
   and never kept. That generator is not a cryptographic one: the record says so.
4. What was used up is computed from the steps that were taken, by RDP (Opacus) and by the privacy loss distribution
   (dp-accounting; Koskela et al. 2020, arXiv:1906.03049). A spend over the target is an error, never a result.

The unit is one row, neighbours by adding or removing one.
"""

from __future__ import annotations

import math
import secrets
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from trainers.errors import BadModule
from trainers.model import PrivacySpec, PrivacySpend

if TYPE_CHECKING:
    import torch

__all__ = ["NOISE_SOURCE", "PrivateSteps", "epsilon_by_pld", "epsilon_by_rdp", "noise_for", "private_steps"]

NOISE_SOURCE: Final = "os-entropy (torch generator seeded from the operating system; not cryptographic)"
_MAX_NOISE: Final = 1000.0


def epsilon_by_rdp(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    """Epsilon of the Poisson-subsampled Gaussian mechanism after ``steps``, by Rényi DP (Opacus' accountant)."""
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(noise_multiplier, sample_rate, steps)]
    with warnings.catch_warnings():
        # Opacus warns when the best order is at the edge of its list: the bound then holds, it is only loose
        warnings.filterwarnings("ignore", message="Optimal order is the (largest|smallest) alpha")
        return float(accountant.get_epsilon(delta=delta))


def epsilon_by_pld(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    """The same epsilon, by the privacy loss distribution (dp-accounting, pessimistic discretisation)."""
    from dp_accounting import dp_event
    from dp_accounting.pld import PLDAccountant

    step = dp_event.PoissonSampledDpEvent(sample_rate, dp_event.GaussianDpEvent(noise_multiplier))
    accountant = PLDAccountant(value_discretization_interval=1e-3)
    accountant.compose(dp_event.SelfComposedDpEvent(step, steps))
    return float(accountant.get_epsilon(delta))


def noise_for(privacy: PrivacySpec, sample_rate: float, steps: int) -> float:
    """The noise multiplier for which ``steps`` steps stay within the target by RDP.

    Raises:
        BadModule: epsilon or delta out of range, or no noise below 1000 reaches the target.
    """
    if not (privacy.epsilon > 0 and 0 < privacy.delta < 1):
        raise BadModule("`privacy` needs epsilon above 0 and delta between 0 and 1")
    low, high = 0.0, 1.0
    while (spent := epsilon_by_rdp(high, sample_rate, steps, privacy.delta)) > privacy.epsilon:
        low, high = high, high * 2
        if high > _MAX_NOISE:
            raise BadModule("no reasonable noise reaches this epsilon", hint="fewer epochs, a smaller batch or a larger epsilon")
    while privacy.epsilon - spent > 0.01 and high - low > 1e-4:
        middle = (low + high) / 2
        trial = epsilon_by_rdp(middle, sample_rate, steps, privacy.delta)
        if trial <= privacy.epsilon:
            high, spent = middle, trial
        else:
            low = middle
    return high


class PrivateSteps:
    """The steps of one private training: iterate over (x, y) batches, then ask for the :meth:`spend`."""

    def __init__(
        self, privacy: PrivacySpec, model: Any, optimizer: Any, x: torch.Tensor, y: torch.Tensor, *, batch_size: int, epochs: int
    ) -> None:
        import torch
        from opacus import GradSampleModule
        from opacus.optimizers import DPOptimizer
        from opacus.validators import ModuleValidator

        if len(x) < 1 or batch_size < 1 or epochs < 1:
            raise BadModule("a private training needs rows, a batch size and epochs above 0")
        problems = ModuleValidator.validate(model, strict=False)
        if problems:
            raise BadModule(f"DP-SGD cannot train this module ({type(problems[0]).__name__})", hint="replace BatchNorm by GroupNorm")
        if privacy.delta >= 1 / len(x):
            raise BadModule(f"delta {privacy.delta:g} is not below one in {len(x)} rows", hint="a delta of 1/(10 rows) is usual")
        self._privacy = privacy
        self._x, self._y = x, y
        self.sample_rate = min(1.0, batch_size / len(x))
        self.per_epoch = math.ceil(1 / self.sample_rate)
        self.total = self.per_epoch * epochs
        self.noise_multiplier = noise_for(privacy, self.sample_rate, self.total)
        self._sampling = torch.Generator()
        self._sampling.manual_seed(secrets.randbits(63))
        noise = torch.Generator()
        noise.manual_seed(secrets.randbits(63))
        self.model = GradSampleModule(model)
        self.optimizer = DPOptimizer(
            optimizer,
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=privacy.max_grad_norm,
            expected_batch_size=self.sample_rate * len(x),
            generator=noise,
        )
        self._taken = 0
        self.optimizer.attach_step_hook(self._count)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The batches; their sizes vary, as Poisson sampling asks, and one may be empty."""
        import torch

        try:
            for step in range(self.total):
                chosen = torch.rand(len(self._x), generator=self._sampling) < self.sample_rate
                # Opacus' hooks on the first layer want an input with a gradient; torch warns otherwise
                yield self._x[chosen].requires_grad_(), self._y[chosen]
                if self._taken != step + 1:
                    raise BadModule("a private batch is for exactly one step() of the private optimizer")
        finally:
            self.model.to_standard_module()  # remove the gradient hooks: they break every later use of the module

    def spend(self) -> PrivacySpend:
        """What the steps taken used up, by both accountants; :class:`BadModule` if either is over the target."""
        by_rdp = epsilon_by_rdp(self.noise_multiplier, self.sample_rate, self._taken, self._privacy.delta)
        by_pld = epsilon_by_pld(self.noise_multiplier, self.sample_rate, self._taken, self._privacy.delta)
        if max(by_rdp, by_pld) > self._privacy.epsilon:
            raise BadModule(f"the training spent epsilon {max(by_rdp, by_pld):.4f}, over the target {self._privacy.epsilon:g}")
        return PrivacySpend(
            delta=self._privacy.delta,
            noise_multiplier=self.noise_multiplier,
            sample_rate=self.sample_rate,
            steps=self._taken,
            epsilon_rdp=by_rdp,
            epsilon_pld=by_pld,
            poisson=True,
            noise_source=NOISE_SOURCE,
        )

    def _count(self, _optimizer: Any) -> None:
        self._taken += 1


def private_steps(
    privacy: PrivacySpec, model: Any, optimizer: Any, x: torch.Tensor, y: torch.Tensor, *, batch_size: int, epochs: int
) -> PrivateSteps:
    """The steps of a private training of ``model`` by ``optimizer``; see :class:`PrivateSteps`."""
    return PrivateSteps(privacy, model, optimizer, x, y, batch_size=batch_size, epochs=epochs)
