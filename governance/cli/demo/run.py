"""Sets the stage, runs the river, and tidies up."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from governance.cli.demo.river import River
from governance.cli.demo.story import Story
from governance.cli.demo.world import World
from governance.cli.exits import Usage
from governance.cli.output import emit_json, say
from lineage.errors import GovernError

__all__ = ["run_demo"]


def run_demo(*, keep: Path | None, model: str, dp: bool, as_json: bool, graph: str | None = None) -> bool:
    """Run every step; True when each one's own check held.

    Without ``keep`` only the papers outlive the demo, in a new temporary folder; after a failure everything is left there.

    Raises:
        Usage: the folder to keep is not empty.
    """
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise Usage(f"{keep} is not an empty folder", hint="give --keep a new folder")
    folder = keep.resolve() if keep is not None else Path(tempfile.mkdtemp(prefix="govern-demo-"))
    story = Story(silent=as_json)
    world = World(folder, graph)
    river = River(world, story, model=model, dp=dp)
    failure: GovernError | None = None
    try:
        river.start()
        with world.server():
            river.run()
    except GovernError as error:
        failure = error
    ok = failure is None and story.ok
    if ok and keep is None:
        for place in (world.home, world.project):
            shutil.rmtree(place)
        world.log.unlink()
    if as_json:
        emit_json(
            {
                "ok": ok,
                "seconds": story.seconds,
                "steps": [{"name": step.name, "ok": step.ok, "seconds": step.seconds, "said": step.said} for step in story.steps],
                "papers": river.papers,
                "folder": str(folder),
                "home": str(world.home) if world.home.exists() else None,
                "error": failure.message if failure else None,
            }
        )
    else:
        story.close(river.papers, river.happened)
        if ok and keep is not None:
            say(f"Look around: GOVERN_HOME={world.home} govern trace {model}")
    if failure is not None:
        sys.stderr.write(f"error: {' '.join(failure.message.split())}\n next: look at {world.log}; everything was left in {folder}\n")
    return ok
