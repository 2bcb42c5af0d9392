"""A digest over what a PDF shows: every page with its streams, fonts and states, without what signing adds."""

from __future__ import annotations

import hashlib
from typing import Any

from lineage.errors import Tampered

__all__ = ["check_catalogue", "pages_digest"]

_CATALOGUE = {
    "/Type", "/Pages", "/Outlines", "/PageMode", "/Lang", "/ViewerPreferences", "/Names", "/AF", "/AcroForm", "/Perms", "/PageLabels",
    "/Extensions", "/Dests", "/Trans", "/Version",
}  # fmt: skip
"""Entries that a paper's catalogue may have; anything else could make a viewer show or do something else."""
_DEEPEST = 60


def check_catalogue(root: Any) -> None:
    """Raise :class:`Tampered` when the catalogue holds an action, a script, a layer or another unexpected entry."""
    unexpected = sorted(set(map(str, root.keys())) - _CATALOGUE)
    if unexpected:
        raise Tampered(f"the file has entries that a paper does not have: {', '.join(unexpected)}")
    names = _at(root, "/Names", {})
    if set(map(str, names.keys())) - {"/EmbeddedFiles", "/Dests"}:
        raise Tampered("the file has named entries that a paper does not have")
    form = _at(root, "/AcroForm", {})
    if set(map(str, form.keys())) - {"/Fields", "/SigFlags"} or len(_at(form, "/Fields", ())) != 1:
        raise Tampered("the file has a form that a paper does not have")


def pages_digest(reader: Any) -> tuple[bytes, int]:
    """SHA-256 over every page in order, and how many there are.

    A page is its dictionary with everything it refers to, streams decoded; its parent and the invisible signature field are left out.

    Raises:
        Tampered: a page carries an annotation other than one invisible signature field.
    """
    hasher = hashlib.sha256()
    count = 0
    for page in _leaves(reader.root["/Pages"], 0):
        count += 1
        for annotation in _each(_at(page, "/Annots", ())):
            area = [float(n) for n in annotation["/Rect"]]
            if str(_at(annotation, "/FT")) != "/Sig" or area[0] != area[2] or area[1] != area[3]:
                raise Tampered(f"page {count} carries something laid over it")
        hasher.update(b"page\n")
        _feed(hasher, page, 0, skip=frozenset({"/Parent", "/Annots", "/Tabs"}))
    for title in _titles(_at(reader.root, "/Outlines"), 0):
        hasher.update(f"outline {title}\n".encode())
    info = _at(reader.trailer_view, "/Info", {})
    for key in ("/Author", "/Creator", "/Subject", "/Title"):
        hasher.update(f"{key} {_at(info, key)}\n".encode())
    return hasher.digest(), count


def _titles(node: Any, depth: int) -> Any:
    """Titles of the outline, in order: a viewer shows them beside the pages."""
    child = None if node is None else _at(node, "/First")
    seen = 0
    while child is not None:
        seen += 1
        if seen > 10_000 or depth > _DEEPEST:
            raise Tampered("the outline refers to itself")
        yield str(_at(child, "/Title"))
        yield from _titles(child, depth + 1)
        child = _at(child, "/Next")


def _at(container: Any, key: str, default: Any = None) -> Any:
    """The value with references followed (``get`` of pyHanko's dictionaries does not)."""
    return container[key] if key in container else default  # noqa: SIM401 - see above


def _each(array: Any) -> Any:
    """The members with references followed."""
    for i in range(len(array)):
        yield array[i]


def _leaves(node: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise Tampered("the page tree is too deep")
    if str(node["/Type"]) == "/Page":
        yield node
        return
    if set(map(str, node.keys())) - {"/Type", "/Kids", "/Count", "/Parent"}:
        raise Tampered("the page tree hands something down to its pages")
    for kid in _each(node["/Kids"]):
        yield from _leaves(kid, depth + 1)


def _feed(hasher: Any, value: Any, depth: int, *, skip: frozenset[str] = frozenset()) -> None:
    from pyhanko.pdf_utils import generic

    if depth > _DEEPEST:
        raise Tampered("a page refers to itself")
    value = value.get_object()
    if isinstance(value, generic.StreamObject):
        hasher.update(b"stream\n")
        _pairs(hasher, value, depth, skip | {"/Length", "/Filter", "/DecodeParms"})
        hasher.update(hashlib.sha256(value.data).digest())
    elif isinstance(value, generic.DictionaryObject):
        hasher.update(b"dict\n")
        _pairs(hasher, value, depth, skip)
    elif isinstance(value, generic.ArrayObject):
        hasher.update(b"array %d\n" % len(value))
        for i in range(len(value)):
            _feed(hasher, value.raw_get(i), depth + 1)
    elif isinstance(value, generic.NumberObject | generic.FloatObject):
        hasher.update(f"number {float(value):.6g}\n".encode())
    else:
        raw = getattr(value, "original_bytes", None)
        hasher.update(b"atom " + (raw if raw is not None else str(value).encode()) + b"\n")


def _pairs(hasher: Any, value: Any, depth: int, skip: frozenset[str]) -> None:
    for key in sorted(value.keys(), key=str):
        if str(key) not in skip:
            hasher.update(f"{key}\n".encode())
            _feed(hasher, value.raw_get(key), depth + 1)
    hasher.update(b"end\n")
