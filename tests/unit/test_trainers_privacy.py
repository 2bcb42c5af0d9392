"""A private training stays within its target by both accountants; figures of published settings come out."""

from __future__ import annotations

import pytest
import torch

from trainers.errors import BadModule
from trainers.model import PrivacySpec
from trainers.privacy import epsilon_by_pld, epsilon_by_rdp, noise_for, private_steps


def test_both_accountants_give_the_known_figures():
    # q 0.01, sigma 0.8, 1000 steps, delta 1e-5: RDP (Opacus) 3.6954, PLD (Google) 3.1410
    assert epsilon_by_rdp(0.8, 0.01, 1000, 1e-5) == pytest.approx(3.6954, abs=1e-3)
    assert epsilon_by_pld(0.8, 0.01, 1000, 1e-5) == pytest.approx(3.141, abs=2e-2)


@pytest.mark.parametrize(("epsilon", "rate", "steps"), [(1.0, 0.05, 200), (3.0, 0.2, 100), (8.0, 1.0, 10)])
def test_the_calibrated_noise_reaches_the_target_and_never_passes_it(epsilon, rate, steps):
    privacy = PrivacySpec(epsilon=epsilon, delta=1e-4)
    noise = noise_for(privacy, rate, steps)
    spent = epsilon_by_rdp(noise, rate, steps, 1e-4)
    assert epsilon - 0.05 <= spent <= epsilon
    assert epsilon_by_pld(noise, rate, steps, 1e-4) <= epsilon


def private(privacy, steps=None, layer=None):
    model = torch.nn.Sequential(layer or torch.nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(200, 3), torch.randint(0, 2, (200,))
    made = private_steps(privacy, model, optimizer, x, y, batch_size=40, epochs=3)
    sizes = []
    for batch, labels in made:
        made.optimizer.zero_grad()
        torch.nn.functional.cross_entropy(made.model(batch), labels).backward()
        if steps is None:
            made.optimizer.step()
        sizes.append(len(batch))
    return model, made, sizes


def test_a_private_training_spends_what_it_says_draws_new_noise_and_leaves_a_plain_module():
    privacy = PrivacySpec(epsilon=2.0, delta=1e-3)
    torch.manual_seed(0)
    model, made, sizes = private(privacy)
    spend = made.spend()
    assert (spend.steps, spend.poisson, spend.delta, len(sizes)) == (15, True, 1e-3, 15)
    assert 0 < spend.epsilon_pld <= spend.epsilon_rdp <= 2.0
    assert len(set(sizes)) > 1  # Poisson batches vary
    torch.manual_seed(0)
    again, _, other = private(privacy)
    assert other != sizes or not torch.equal(model[0].weight, again[0].weight)
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


def test_what_is_not_private_is_refused():
    with pytest.raises(BadModule, match="epsilon above 0"):
        private(PrivacySpec(epsilon=0.0, delta=1e-3))
    with pytest.raises(BadModule, match="not below one in 200 rows"):
        private(PrivacySpec(epsilon=1.0, delta=0.01))
    with pytest.raises(BadModule, match="exactly one step"):
        private(PrivacySpec(epsilon=1.0, delta=1e-3), steps=0)
    with pytest.raises(BadModule, match="cannot train this module"):
        private(PrivacySpec(epsilon=1.0, delta=1e-3), layer=torch.nn.BatchNorm1d(3))
