"""Modules of two snapshots live side by side, also when one of them imports more while it runs or hides a module of the process."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from trainers.loading import UserCode

MODEL = """
import helper_of_snapshot
def build(params, state): return helper_of_snapshot.WHO
def encode(table, state):
    import later_of_snapshot
    later_of_snapshot.count += 1
    return helper_of_snapshot.WHO, later_of_snapshot.WHO, later_of_snapshot.count
def train(run): raise ValueError("no")
"""


def snapshot(folder: Path, who: str) -> UserCode:
    folder.mkdir()
    (folder / "model_of_snapshot.py").write_text(MODEL)
    (folder / "helper_of_snapshot.py").write_text(f"WHO = {who!r}\n")
    (folder / "later_of_snapshot.py").write_text(f"WHO = {who!r}\ncount = 0\n")
    return UserCode(folder, "model_of_snapshot")


def ours() -> set[str]:
    return {name for name in sys.modules if "of_snapshot" in name}


def test_each_call_sees_its_own_snapshot_and_leaves_nothing_behind(tmp_path) -> None:
    first, second = snapshot(tmp_path / "a", "first"), snapshot(tmp_path / "b", "second")
    path = list(sys.path)
    for count in (1, 2, 3):
        assert first.call("encode", None, None) == ("first", "first", count)
        assert second.call("encode", None, None) == ("second", "second", count)
    assert ours() == set()
    assert sys.path == path


def test_a_module_of_the_process_with_the_same_name_comes_back_whenever_it_came(tmp_path) -> None:
    user = snapshot(tmp_path / "a", "snapshot")
    assert user.call("build", None, None) == "snapshot"
    stranger, below = ModuleType("helper_of_snapshot"), ModuleType("helper_of_snapshot.below")
    stranger.WHO = "process"  # type: ignore[attr-defined]
    sys.modules.update({"helper_of_snapshot": stranger, "helper_of_snapshot.below": below})
    try:
        for count in (1, 2):
            assert user.call("encode", None, None) == ("snapshot", "snapshot", count)
            assert (sys.modules["helper_of_snapshot"], sys.modules["helper_of_snapshot.below"]) == (stranger, below)
    finally:
        del sys.modules["helper_of_snapshot"], sys.modules["helper_of_snapshot.below"]
    assert user.call("encode", None, None) == ("snapshot", "snapshot", 3)
    assert ours() == set()


def test_what_the_code_raises_passes_through_and_leaves_nothing_behind(tmp_path) -> None:
    user = snapshot(tmp_path / "a", "snapshot")
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            user.call("train", None)
    assert ours() == set()
