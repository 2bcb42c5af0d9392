"""Whatever rows are erased: to go on from the last checkpoint that stands makes the weights that a training from scratch makes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.contract import batch_order
from trainers.kept import packed_values, unpacked_values
from trainers.model import InputSpec, Replay, TrainSpec
from trainers.replay import positions, prefix_digests
from trainers.steps import Steps

SEED = 11
TINY = st.floats(allow_nan=False) | st.integers() | st.text(max_size=3) | st.booleans() | st.none()
TREES = st.recursive(
    TINY, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3), max_leaves=8
)


@pytest.fixture(autouse=True, scope="module")
def _generators_as_they_were() -> Iterator[None]:
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    yield
    random.setstate(before[0])
    np.random.set_state(before[1])  # noqa: NPY002
    torch.set_rng_state(before[2])


def table_of(ids: list[int]) -> pa.Table:
    """The values of a row are a function of its id, and no two rows have the same: else one could stand in for the other."""
    return pa.table({"govern_row_id": pa.array(ids, pa.int64()), "a": [one / 1000 for one in ids], "y": [one % 2 for one in ids]})


def spec_of(table: pa.Table, replay: Replay) -> TrainSpec:
    inputs = (InputSpec(role="train", dataset="d", version="1", row_set="rs1:0", rows=table.num_rows),)
    return TrainSpec(
        model="m", entrypoint="m", code="snapshot:0", params={}, seed=SEED, threads=1, inputs=inputs, environment="e", label="y",
        features=("a",), strategy="replay", replay=replay,
    )  # fmt: skip


def trained(
    table: pa.Table, replay: Replay, *, resumed_at: int = 0, resumed: bytes | None = None, keep: bool = True
) -> tuple[bytes, dict[int, bytes]]:
    """(weights, position → state): momentum, dropout and noise of all three generators make the state more than the weights."""
    torch.manual_seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002
    random.seed(SEED)
    model = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Dropout(0.3), torch.nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    saved: dict[int, bytes] = {}
    ids = table["govern_row_id"].to_numpy()
    steps = Steps(
        table=table,
        batch_size=replay.batch_size,
        epochs=replay.epochs,
        order=lambda epoch: batch_order(SEED, epoch, ids),
        encode=lambda rows, _state: (torch.tensor(rows["a"].to_pylist()).reshape(-1, 1), torch.tensor(rows["y"].to_pylist())),
        public_state=dict,
        save=saved.__setitem__,
        save_at=frozenset(positions(table.num_rows, replay)) if keep else frozenset(),
        resumed_at=resumed_at,
        resumed=resumed,
    )
    for x, y, _epoch, _step in steps({"model": model, "optimizer": optimizer}):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x * (1 + random.random() + np.random.rand())), y).backward()  # noqa: NPY002
        optimizer.step()
    return packed_values(model.state_dict()), saved


@settings(max_examples=10, deadline=None)
@given(data=st.data(), count=st.integers(8, 20), size=st.integers(2, 6), epochs=st.integers(1, 2), checkpoints=st.integers(1, 4))
def test_replayed_is_from_scratch_and_after_the_first_use_it_is_not(
    data: st.DataObject, count: int, size: int, epochs: int, checkpoints: int
) -> None:
    replay = Replay(batch_size=size, epochs=epochs, checkpoints=checkpoints)
    ids = data.draw(st.lists(st.integers(1, 10_000), min_size=count, max_size=count, unique=True).map(sorted))
    away = data.draw(st.sets(st.sampled_from(ids), min_size=1, max_size=4))
    whole, rest = table_of(ids), table_of([one for one in ids if one not in away])
    _weights, saved = trained(whole, replay)
    scratch, own = trained(rest, replay)
    assert trained(rest, replay, keep=False)[0] == scratch, "to take a checkpoint changes nothing"
    old, new = prefix_digests(spec_of(whole, replay), whole, saved), prefix_digests(spec_of(rest, replay), rest, saved)

    order = [ids[at] for at in batch_order(SEED, 0, np.array(ids))]
    first_use = min(order.index(one) for one in away)
    for position, state in saved.items():
        stands = old[position] == new.get(position)
        assert stands == (position <= first_use), "the digest decides as the first use does"
        if position >= rest.num_rows:
            continue
        made, _ = trained(rest, replay, resumed_at=position, resumed=state)
        if stands:
            assert made == scratch
            assert own.get(position, state) == state, "the state there is the one that a training from scratch passes"
        else:
            assert made != scratch, "what went through an erased row is told apart"


@settings(max_examples=50, deadline=None)
@given(TREES)
def test_a_state_comes_back_as_it_was(value: object) -> None:
    assert unpacked_values(packed_values(value)) == value


def test_what_is_read_back_is_not_the_bytes_it_was_read_from() -> None:
    """``load_state_dict`` keeps the tensors it is given, so a checkpoint held as tensors would change under the training."""
    data = packed_values({"x": torch.ones(3)})
    value = unpacked_values(data)
    value["x"] += 1
    assert unpacked_values(data)["x"].tolist() == [1.0, 1.0, 1.0]
