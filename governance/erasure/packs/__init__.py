"""The law packs that come with Govern, one YAML file each, and those that an installation adds.

The packs are read when a request first needs one: a command that needs none reads no YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from lineage.errors import BadInput, Conflict, NotFound

if TYPE_CHECKING:
    from datetime import date

    from governance.erasure.law import Pack

__all__ = ["SHIPPED", "Packs", "shipped_texts"]

SHIPPED = ("GDPR", "LGPD", "CCPA")
"""Ids of the packs that come with Govern; a test holds it equal to the files."""


def shipped_texts() -> dict[str, str]:
    """File name → text of the packs that come with Govern."""
    folder = resources.files(__name__)
    return {
        item.name: item.read_text(encoding="utf-8")
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.name.endswith(".yaml")
    }


class Packs:
    """Law packs by id and version. ``more`` gives the texts that the installation adds (name → YAML); read at the first use.

    An installation's pack may have an id of its own, or a newer version of a shipped one. It may not change a shipped version.
    """

    def __init__(self, more: Callable[[], Mapping[str, str]] | None = None) -> None:
        self._more = more
        self._packs: dict[tuple[str, int], Pack] | None = None

    def ids(self) -> list[str]:
        """Ids of packs of which at least one version is in force, in the order they were read."""
        return list(dict.fromkeys(pack.id for pack in self.all() if pack.status == "in_force"))

    def all(self) -> list[Pack]:
        """Every version of every pack, shipped ones first."""
        return list(self._read().values())

    def chosen(self, ident: str, day: Callable[[str], date]) -> Pack:
        """The newest version in force on the day of receipt; ``day(zone)`` is that day in the pack's zone.

        Raises:
            BadInput: there is no such regulation, or none of its versions was in force then.
        """
        versions = [pack for pack in self.all() if pack.id == ident and pack.status == "in_force"]
        if not versions:
            # What was sent is not repeated: it may be a person's.
            raise BadInput(f"regulation must be one of {', '.join(self.ids())}", hint="govern erasure packs")
        fitting = [pack for pack in versions if pack.effective_from <= day(pack.zone)]
        if not fitting:
            first = min(pack.effective_from for pack in versions)
            raise BadInput(
                f"no version of {ident} was in force on the day of receipt: the first began on {first}", hint="govern erasure packs"
            )
        return max(fitting, key=lambda pack: (pack.effective_from, pack.version))

    def frozen(self, law: Mapping[str, Any]) -> Pack:
        """The pack that a request froze: ``{pack, version, digest}``.

        Raises:
            NotFound: that version is no longer here. Conflict: it was changed under its number.
        """
        name = f"{law['pack']} version {law['version']}"
        pack = self._read().get((law["pack"], law["version"]))
        if pack is None:
            raise NotFound(
                f"the law pack {name} is not here any more; a request rests on it", hint="put its file back into the packs folder"
            )
        if pack.digest != law["digest"]:
            raise Conflict(
                f"the law pack {name} was changed after a request rested on it", hint="restore its file; a change is a new version"
            )
        return pack

    def _read(self) -> dict[tuple[str, int], Pack]:
        if self._packs is None:
            packs: dict[tuple[str, int], Pack] = {}
            _add(packs, shipped_texts().items())
            _add(packs, sorted((self._more() if self._more else {}).items()))
            self._packs = packs
        return self._packs


def _add(packs: dict[tuple[str, int], Pack], texts: Iterable[tuple[str, str]]) -> None:
    from governance.erasure.law import BadPack, parse_pack

    for name, text in texts:
        try:
            pack = parse_pack(text)
        except BadPack as error:
            raise BadPack(f"{name}: {error.message}", hint=error.hint) from error
        before = packs.get((pack.id, pack.version))
        if before is not None and before.digest != pack.digest:
            raise Conflict(
                f"{name}: {pack.id} version {pack.version} is here already and differs", hint="give the change a new version number"
            )
        packs[pack.id, pack.version] = pack
