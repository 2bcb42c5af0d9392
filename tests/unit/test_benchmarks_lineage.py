"""What the benchmarks stand on: events from a seed, graphs of a known size, limits that are read the right way round."""

from __future__ import annotations

import json

import pytest

from benchmarks.lineage_closure import CTE
from benchmarks.lineage_events import fresh, grid_events, shapes, training_events
from benchmarks.lineage_growth import exponent
from benchmarks.lineage_growth_svg import Curve, picture
from benchmarks.lineage_million import Layers, bare_table, fill
from benchmarks.lineage_table import table
from benchmarks.measure import Line
from lineage.model import Direction
from lineage.openlineage import parse_event
from lineage.trace.memory import MemoryGraph


def line(**more) -> Line:
    return Line(**{"name": "n", "value": 1.0, "unit": "ms", "baseline": "b", "baseline_value": 2.0} | more)


def test_the_events_are_the_same_in_every_run_and_as_large_as_is_said() -> None:
    events = training_events(200)
    assert events == training_events(200)
    assert events != training_events(200, seed=2)
    assert 5_000 < sum(map(len, events)) / len(events) < 5_200
    parsed = [parse_event(raw) for raw in events]
    assert {(len(event.inputs), len(event.outputs)) for event in parsed} == {(3, 1)}
    assert len({event.digest for event in parsed}) == 200


def test_the_shapes_have_the_nodes_that_marquez_was_asked_for() -> None:
    made = {shape.name: shape for shape in shapes()}
    assert {name: shape.nodes for name, shape in made.items()} == {"chain of 20": 41, "tree of 1 344": 1344, "hub of 1 000": 2001}
    event = made["chain of 20"].events[3]
    again = fresh(event, 1)
    assert again["job"] == event["job"]
    assert again["run"]["runId"] != event["run"]["runId"]
    assert again["eventTime"] > event["eventTime"]


def test_a_grid_reads_what_its_layer_before_wrote() -> None:
    events = [json.loads(raw) for raw in grid_events(5, range(1, 4))]
    wrote = {dataset["name"] for event in events for dataset in event["outputs"]}
    read = {dataset["name"] for event in events[5:] for dataset in event["inputs"]}
    assert read <= wrote
    assert len(events) == 15


def test_a_store_and_the_bare_table_hold_the_same_graph(tmp_path) -> None:
    layers, graph = Layers(2_000), MemoryGraph()
    fill(graph, layers, 7)
    assert graph.position() == 7
    assert graph.counts() == {"nodes": 2_000, "edges": 2 * (2_000 - layers.width)}
    bare = bare_table(tmp_path / "bare.db", layers)
    for start in layers.starts((20, 200)):
        keys, cut = graph.reach([start.key], Direction.DOWN)
        assert len(keys) == start.reached == len(bare.execute(CTE, (start.number,)).fetchall())
        assert not cut
        assert {layers.key(number) for (number,) in bare.execute(CTE, (start.number,))} == set(keys)
    bare.close()


@pytest.mark.parametrize(
    ("given", "slow"),
    [
        ({"unit": "ms", "value": 6.0, "limit": 5.0}, True),
        ({"unit": "ms", "value": 4.0, "limit": 5.0}, False),
        ({"unit": "/s", "value": 6.0, "limit": 5.0}, False),
        ({"unit": "ev/s", "value": 4.0, "limit": 5.0}, True),
        ({"unit": "ms", "value": 5.0, "ratio_limit": 2.0}, True),
        ({"unit": "/s", "value": 1.5, "ratio_limit": 0.8}, True),
        ({"unit": "/s", "value": 1.7, "ratio_limit": 0.8}, False),
        ({"unit": "ms", "value": 9.0, "limit": 5.0, "failed": "why"}, False),
    ],
)
def test_a_limit_is_the_least_of_a_rate_and_the_most_of_a_time(given, slow) -> None:
    assert line(**given).too_slow is slow


def test_the_table_and_the_picture_say_what_was_measured() -> None:
    rows = table([line(value=9.0, limit=5.0), line(name="m", failed="no Java")], "here", size="quick", load=3.0)
    assert "| n | 9 ms | b 2 | 4.50 | ≤ 5 ms **missed** |" in rows
    assert "| m | not measured: no Java | | | |" in rows
    assert "Other work ran" in rows
    assert "Other work ran" not in table([], "here", size="quick", load=0.2)
    points = [(1e3, 2.0), (1e4, 20.0), (1e5, 200.0)]
    assert exponent(points) == pytest.approx(1.0)
    drawn = picture([Curve(name="a <b>", unit="s", points=points, exponent=1.0)])
    assert drawn.count("<circle") == 3
    assert "a &lt;b&gt;, s: exponent 1.00" in drawn
