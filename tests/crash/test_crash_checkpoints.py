"""A process that writes checkpoints is killed in the middle: what has a name is whole, and the next attempt begins with nothing."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lineage.errors import Gone, Tampered
from trainers.checkpoints import CheckpointFolder
from trainers.model import Checkpoint
from trainers.replay import Kept

pytestmark = pytest.mark.crash

SIZE = 3_000_000
WRITER = f"""
import sys
from pathlib import Path
from trainers.checkpoints import CheckpointFolder
from trainers.replay import Kept

folder = CheckpointFolder(Path(sys.argv[1]))
folder.begin()
print("begun", flush=True)
for position in range(10, 1_000_000, 10):
    one = folder.write(Kept(inputs="sha256:00", position=position, state=position.to_bytes(4, "big") * {SIZE // 4}))
    print(one.position, one.digest, one.size, flush=True)
"""


def killed_at_work(folder: Path, after: float) -> list[Checkpoint]:
    """What it said it had written before it was killed ``after`` seconds of work."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begun\n"
        time.sleep(after)
    finally:
        os.killpg(writer.pid, signal.SIGKILL)
        told = writer.communicate()[0]
    assert writer.returncode == -signal.SIGKILL
    lines = [line.split() for line in told.splitlines() if line.count(" ") == 2]
    return [Checkpoint(position=int(position), digest=digest, size=int(size)) for position, digest, size in lines if size.isdigit()]


def test_a_kill_inside_a_write_leaves_whole_checkpoints_and_a_draft_at_most(tmp_path: Path) -> None:
    draw = random.Random(5)
    for attempt in range(6):
        folder = CheckpointFolder(tmp_path / "run")
        told = killed_at_work(folder.folder, draw.uniform(0.02, 0.3))
        for path in folder.folder.iterdir():
            if not path.name.startswith("."):
                assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name, f"attempt {attempt}"
        for one in told[:-1]:  # of the last line a part may be missing
            assert folder.read(one).position == one.position, "what was told is there"
    folder.begin()
    assert not list(folder.folder.iterdir()), "the next attempt begins with nothing"


def test_half_a_file_under_a_whole_name_is_not_read(tmp_path: Path) -> None:
    """As if the name had been given before the bytes were durable."""
    folder = CheckpointFolder(tmp_path / "run")
    folder.begin()
    one = folder.write(Kept(inputs="sha256:00", position=10, state=b"s" * 1000))
    path = folder.folder / one.digest.removeprefix("sha256:")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(Tampered, match="other bytes"):
        folder.read(one)
    path.unlink()
    with pytest.raises(Gone, match="is not there"):
        folder.read(one)
