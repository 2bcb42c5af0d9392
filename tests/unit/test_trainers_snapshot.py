"""A code snapshot is a function of the files alone, and unpacking never leaves its folder."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile

import pytest

from trainers.errors import BadSnapshot
from trainers.snapshot import pack, unpack


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "pkg").mkdir(parents=True)
    (folder / "model.py").write_text("print('é')\n")
    (folder / "pkg" / "deep.py").write_text("x = 1\n")
    (folder / "govern.yaml").write_text("models: []\n")
    (folder / "rows.data").write_text("secret\n")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "model.py").write_text("cached")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "a.py").write_text("hidden")
    return folder


def test_a_round_trip_gives_the_files_back(project, tmp_path):
    digest, tar = pack(project)
    assert digest == hashlib.sha256(tar).hexdigest()
    out = unpack(tar, tmp_path / "out")
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert files == ["govern.yaml", "model.py", "pkg/deep.py"]
    assert (out / "model.py").read_text() == "print('é')\n"
    assert pack(out) == (digest, tar)


def test_times_modes_and_order_of_creation_do_not_matter(project, tmp_path):
    digest, _ = pack(project)
    os.utime(project / "model.py", (1, 1))
    (project / "model.py").chmod(0o755)
    assert pack(project)[0] == digest
    (project / "model.py").write_text("print('e')\n")
    assert pack(project)[0] != digest


def test_declared_patterns_add_files(project, tmp_path):
    (project / "pkg" / "words.json").write_text("{}")
    (project / "words.json").write_text("{}")
    _, tar = pack(project, ("*.py", "pkg/*.json"))
    out = unpack(tar, tmp_path / "out")
    assert (out / "pkg" / "words.json").exists()
    assert not (out / "words.json").exists()


@pytest.mark.parametrize("pattern", ["/etc/*", "../*.py", "pkg/../../*"])
def test_a_pattern_that_leads_outside_is_refused(project, pattern):
    with pytest.raises(BadSnapshot, match="outside"):
        pack(project, (pattern,))


def test_links_that_lead_outside_are_refused(project, tmp_path):
    (tmp_path / "outside.py").write_text("secret")
    (project / "link.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(BadSnapshot, match=r"link\.py"):
        pack(project)
    (project / "link.py").unlink()
    (project / "linked").symlink_to(tmp_path)
    with pytest.raises(BadSnapshot, match="linked"):
        pack(project)


def test_nothing_to_pack_is_an_error(tmp_path):
    with pytest.raises(BadSnapshot, match="nothing"):
        pack(tmp_path)
    with pytest.raises(BadSnapshot, match="no folder"):
        pack(tmp_path / "absent")


def tar_of(*members):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(data)
            info.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()


@pytest.mark.parametrize(
    "tar",
    [
        tar_of(("ok.py", tarfile.REGTYPE, b"x"), ("../escape.py", tarfile.REGTYPE, b"x")),
        tar_of(("/absolute.py", tarfile.REGTYPE, b"x")),
        tar_of(("a/../../escape.py", tarfile.REGTYPE, b"x")),
        tar_of(("link.py", tarfile.SYMTYPE, b"")),
        tar_of(("link.py", tarfile.LNKTYPE, b"")),
        tar_of(("pipe.py", tarfile.FIFOTYPE, b"")),
        tar_of(("a.py", tarfile.REGTYPE, b"x"), ("a.py", tarfile.REGTYPE, b"y")),
        tar_of(("a", tarfile.REGTYPE, b"x"), ("a/b.py", tarfile.REGTYPE, b"y")),
        tar_of(("big.py", tarfile.REGTYPE, b"x" * 5000))[:1024],
        tar_of(),
        b"not a tar",
        b"",
    ],
)
def test_a_hostile_or_broken_tar_writes_nothing(tar, tmp_path):
    out = tmp_path / "deep" / "out"
    with pytest.raises(BadSnapshot):
        unpack(tar, out)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_in_use_is_refused(project, tmp_path):
    _, tar = pack(project)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "there.py").write_text("")
    with pytest.raises(BadSnapshot, match="not empty"):
        unpack(tar, tmp_path / "out")
