"""What each level of an erasure shows, and what it does not: on the certificate, and in ``docs/explanation/promise.md``."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from reports.model import Basis, Section, Table

__all__ = ["LEVELS", "Level", "levels_section", "levels_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One word that may stand beside an asset."""

    word: str
    about: str
    """Kinds of assets that can have it."""
    shows: str
    not_shown: str
    """What nobody may read into it."""


LEVELS = (
    Level(
        word="L0",
        about="data",
        shows="Deleted logically: no reader of a current version sees the rows; bytes may remain.",
        not_shown="That the bytes are gone: files, older versions and logs may still hold them.",
    ),
    Level(
        word="L1",
        about="data",
        shows="Purged: no row left in any file, version, index or log above the file system, each decoded and scanned.",
        not_shown="Blocks that a file system or disk may keep; backups, which are stated apart; copies that nobody registered.",
    ),
    Level(
        word="L2",
        about="models",
        shows="Successor: trained on a committed row set without the rows; the predecessor is out of service and destroyed or held.",
        not_shown="That the training code used only the rows it was given.",
    ),
    Level(
        word="L3",
        about="models",
        shows="Reproduced: a second worker with an empty cache made the successor again, bit for bit.",
        not_shown="Equality in another environment; an operator who controls both workers could still deceive.",
    ),
    Level(
        word="L4",
        about="models",
        shows="Counterfactual: where a shortcut was used, its result equals a training from scratch.",
        not_shown="Equality with a training whose shards or seeds are drawn anew.",
    ),
    Level(
        word="not reachable",
        about="any",
        shows="Found, and not worked on: Govern can neither purge nor retrain it; the reason stands beside it.",
        not_shown="Anything about what is left there. No level over the whole is stated then.",
    ),
)


def levels_section() -> Section:
    """The section of a certificate that says it."""
    table = Table(
        columns=("Level", "Shows", "Does not show"),
        rows=tuple((level.word, level.shows, level.not_shown) for level in LEVELS),
        basis=Basis.DECLARED,
        caption="As Govern defines them; each asset has its own.",
    )
    return Section(title="What the levels mean", blocks=(table,))


def levels_table() -> str:
    """The levels as a table in Markdown."""
    rows = (f"| {level.word} | {level.about} | {level.shows} | {level.not_shown} |\n" for level in LEVELS)
    return "| level | about | shows | does not show |\n|---|---|---|---|\n" + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(levels_table())
