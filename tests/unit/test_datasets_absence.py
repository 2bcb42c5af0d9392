"""One file shows of very many rows that none is in a row set; a forged one, or one about something else, shows nothing."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.datasets import absence_file, non_memberships, row_set_digest, verify_absence
from lineage.errors import BadInput
from lineage.model import RowSetInfo


def rows(*numbers: int) -> list[bytes]:
    return sorted(hashlib.sha256(str(number).encode()).digest() for number in numbers)


def info(listed: list[bytes]) -> RowSetInfo:
    return RowSetInfo(digest=row_set_digest(listed), count=len(listed))


def shows(file: bytes, erased: list[bytes], trained: list[bytes], dataset: str = "d") -> bool:
    return verify_absence(file, dataset=dataset, erased=info(erased), row_set=info(trained))


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, 60), max_size=40), st.sets(st.integers(0, 60), max_size=40), st.integers(0, 10_000))
def test_it_shows_what_is_so_and_nothing_else(erased: set[int], trained: set[int], flip: int) -> None:
    gone, kept = rows(*erased), rows(*trained)
    if erased & trained:
        with pytest.raises(BadInput, match="holds one of"):
            absence_file("d", kept, gone)
        return
    file = absence_file("d", kept, gone)
    assert file == absence_file("d", kept, gone)
    assert shows(file, gone, kept)
    assert not shows(file, gone, kept, dataset="e")
    assert not shows(file, rows(*erased, 99), kept)
    assert not shows(file, gone, rows(*trained, 99))
    at = file.index(b"\n", file.index(b"\n") + 1) + 1
    if len(file) > at:
        place = at + flip % (len(file) - at)
        forged = file[:place] + bytes([file[place] ^ 1 << flip % 8]) + file[place + 1 :]
        assert not shows(forged, gone, kept), "not a bit of it can be another"


def parts(file: bytes) -> tuple[dict, list[bytes], list[int], list[bytes], list[bytes]]:
    magic, head, rest = file.split(b"\n", 2)
    told = json.loads(head)
    m, k, s = told["erased"]["count"], told["opened"], told["siblings"]
    places, leaves = rest[32 * m : 32 * m + 8 * k], rest[32 * m + 8 * k : 32 * m + 40 * k]
    cut = lambda data: [data[at : at + 32] for at in range(0, len(data), 32)]  # noqa: E731
    numbers = [int.from_bytes(places[at : at + 8], "big") for at in range(0, 8 * k, 8)]
    assert magic == b"govern-absence/1"
    return told, cut(rest[: 32 * m]), numbers, cut(leaves), cut(rest[32 * m + 40 * k :])[:s]


def packed(told: dict, gone: list[bytes], places: list[int], leaves: list[bytes], beside: list[bytes]) -> bytes:
    told |= {"opened": len(places), "siblings": len(beside)}
    numbers = b"".join(one.to_bytes(8, "big") for one in places)
    return b"govern-absence/1\n" + json.dumps(told).encode() + b"\n" + b"".join([*gone, numbers, *leaves, *beside])


def test_neighbours_that_do_not_stand_side_by_side_show_nothing() -> None:
    """The row is in the set; its neighbours are opened, and it is hidden behind a hash that is honest."""
    trained = rows(*range(9))
    for at in range(len(trained)):
        target = trained[at]
        others = [one for one in trained if one != target]
        told, *_ = parts(absence_file("d", others, [target]))
        told["row_set"] = {"digest": row_set_digest(trained), "count": 9}
        opened = [one for one in (at - 1, at + 1) if 0 <= one < 9]
        from lineage.datasets._merkle import Tree, leaf_hash

        beside = Tree([leaf_hash(one) for one in trained]).siblings(opened)
        forged = packed(told, [target], opened, [trained[one] for one in opened], beside)
        assert not shows(forged, [target], trained), at
        renumbered = packed(told, [target], list(range(len(opened))), [trained[one] for one in opened], beside)
        assert not shows(renumbered, [target], trained), at


def test_a_row_that_is_left_out_of_the_file_is_missed() -> None:
    gone, trained = rows(1, 2, 3), rows(*range(10, 30))
    told, listed, *rest = parts(absence_file("d", trained, gone))
    assert not shows(packed(told, listed[:2], *rest[:3]) + bytes(32), gone, trained)
    told["erased"]["count"] = 2
    assert not shows(packed(told, listed[:2], *rest), gone, trained)


def test_an_empty_row_set_holds_nothing_and_no_other_passes_for_it() -> None:
    gone, trained = rows(1), rows(5, 6)
    assert shows(absence_file("d", [], gone), gone, [])
    told, *rest = parts(absence_file("d", [], gone))
    told["row_set"] = {"digest": row_set_digest(trained), "count": 0}
    lied = RowSetInfo(digest=row_set_digest(trained), count=0)
    root = bytes.fromhex(row_set_digest(trained).removeprefix("rs1:"))
    for beside in ([], [root]):
        assert not verify_absence(packed(told, *rest[:3], beside), dataset="d", erased=info(gone), row_set=lied)


@pytest.mark.parametrize("cut", ["", "x", "head", "short", "long", "counts"])
def test_what_is_no_such_file_is_refused(cut: str) -> None:
    gone, trained = rows(1, 2), rows(*range(5, 9))
    file = absence_file("d", trained, gone)
    wrong = {
        "": b"", "x": b"%PDF-1.7\n" + file, "head": file.replace(b'"opened"', b'"closed"', 1), "short": file[:-1], "long": file + b"\0",
        "counts": file.replace(b'"siblings":', b'"siblings":-', 1),
    }[cut]  # fmt: skip
    with pytest.raises(BadInput):
        shows(wrong, gone, trained)


def test_it_grows_with_the_rows_and_not_with_their_paths() -> None:
    """Of 500 rows against 4000: the file beside single proofs, which hold the same hashes again and again."""
    trained, gone = rows(*range(4000)), rows(*range(10_000, 10_500))
    file = absence_file("d", trained, gone)
    single = sum(32 * (3 + len(one.left.path if one.left else ()) + len(one.right.path if one.right else ())) for one in
                 non_memberships(trained, gone))  # fmt: skip
    assert len(file) < single / 4
    assert len(file) <= 300 + 32 * 500 + 40 * 4000
