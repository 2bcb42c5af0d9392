"""The gate around the end of an epoch key holds for two real processes, and opens when one of them dies."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from governance.adapters.file_gate import FileGate
from governance.registry.gate import Gate
from governance.wiring import init_home
from lineage.errors import Conflict, StoreUnavailable
from tests.support.persons import opened_persons


@contextmanager
def another(home: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is through the gate."""
    words = [sys.executable, "-m", "tests.support.gate_main", str(home), how]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "in\n"
            yield process
        finally:
            process.kill()


def left(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.wait(20) == 0


def test_one_of_two_processes_is_alone_when_the_other_has_left(tmp_path: Path) -> None:
    gate = FileGate(tmp_path, patience=0.1)
    with another(tmp_path, "inside") as process:
        with gate.inside():
            pass
        with pytest.raises(Conflict, match="about to keep a reference"), gate.alone():
            raise AssertionError("two processes passed")
        with gate.inside():
            pass
        with Gate().alone():
            pass  # the threads' gate alone would have let both through
        left(process)
    with gate.alone():
        pass


def test_nobody_comes_in_while_another_process_is_alone(tmp_path: Path) -> None:
    gate = FileGate(tmp_path, patience=0.1)
    with another(tmp_path, "alone") as process:
        for way in (gate.inside, gate.alone):
            with pytest.raises((StoreUnavailable, Conflict)), way():
                raise AssertionError("two processes passed")
        left(process)
    with gate.inside(), FileGate(tmp_path).inside():
        pass


@pytest.mark.parametrize("how", ["inside", "alone"])
def test_a_process_that_is_killed_leaves_the_gate_open(tmp_path: Path, how: str) -> None:
    gate = FileGate(tmp_path, patience=20)
    with another(tmp_path, how) as process:
        process.kill()
        with gate.alone():
            pass


def test_who_waits_to_be_alone_is_not_passed_by_who_comes_later(tmp_path: Path) -> None:
    waiting, late = FileGate(tmp_path, patience=20), FileGate(tmp_path, patience=0.1)
    with another(tmp_path, "inside") as process:
        alone = threading.Event()

        def wait() -> None:
            with waiting.alone():
                alone.set()

        thread = threading.Thread(target=wait)
        thread.start()
        while True:  # until it has its turn
            try:
                with late.inside():
                    pass
            except StoreUnavailable:
                break
        assert not alone.is_set()
        left(process)
        thread.join(20)
        assert alone.is_set()


def test_an_epoch_is_not_destroyed_while_another_process_is_about_to_keep_a_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    init_home(home)
    with opened_persons(home) as system:
        system.rotation.rotate(actor="key:1")
        system.work()
        monkeypatch.setattr(system.datasets.references._gate, "_patience", 0.1)
        with another(home, "inside") as process:
            with pytest.raises(Conflict, match="about to keep a reference"):
                system.shredding.destroy("epoch-1", actor="key:1")
            assert system.shredding.living() == ["epoch-2", "epoch-1"]
            left(process)
        assert system.shredding.destroy("epoch-1", actor="key:1")["living"] == ["epoch-2"]
