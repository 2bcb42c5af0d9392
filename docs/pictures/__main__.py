"""``python docs/pictures [--states] [--folder DIR]``: makes the pictures of the documentation anew, from a real run."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from states import states_svg

IMAGES = Path(__file__).parents[1] / "images"


def main() -> None:
    """The picture of the states from their table; then, unless only that is asked for, the story of one erasure."""
    parser = argparse.ArgumentParser(prog="python docs/pictures", description="Make the pictures of the documentation anew.")
    parser.add_argument("--states", action="store_true", help="only what is made from the code; nothing is run")
    parser.add_argument("--folder", type=Path, help="an empty folder to run in, which is kept")
    parser.add_argument("--images", type=Path, default=IMAGES, help="where they are written")
    asked = parser.parse_args()
    (asked.images / "erasure-states.svg").write_text(states_svg(), encoding="utf-8")
    if asked.states:
        return
    from story import tell

    if asked.folder:
        tell(asked.folder.resolve(), asked.images)
    else:
        with tempfile.TemporaryDirectory(prefix="govern-pictures-") as folder:
            tell(Path(folder), asked.images)


if __name__ == "__main__":
    main()
