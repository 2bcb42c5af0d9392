"""Secret keys as files, each wrapped by one master key (:class:`lineage.ports.KeyStore`).

::

    keys/                 mode 0700
      master.key          32 random bytes, hex, mode 0600: keep it apart from every backup
      check.json          a known text under the master key: tells a wrong master key from an altered file
      <name>.json         {"algorithm", "format", "name", "nonce", "wrapped"[, "canonicalisation"][, "certificate"]}, mode 0600
      <name>.destroyed    the tombstone of a destroyed key: it cannot be made or brought back under this name
      contact/            the same files of ``contact-…`` keys, one key per erasure request: they are many, and no list of keys needs them

A key is wrapped with AES-256-GCM (NIST SP 800-38D) under a fresh 96-bit nonce; its name, its algorithm and an epoch's canonicalisation
are the associated data, so a file renamed to another key's name does not open. The public part of a signing key is derived from the
secret one. An epoch's canonicalisation is the version of the rules for identifiers under which its references are made; a file without
it is of the first.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lineage.adapters import file_keys_crypto as crypto
from lineage.errors import BadInput, Conflict, Gone, NotFound, StoreUnavailable, Tampered
from lineage.ports import Clock
from lineage.rows import RULES

__all__ = ["FileKeyStore"]

_FORMAT = 1
_ED25519, _RSA, _HMAC = "ed25519", "rsa-3072", "hmac-sha256"
_SIGNING = ("checkpoint", "evidence")
_COMMITMENTS = ("suppression", "rowset", "sharding")
_PDF = "pdf"
_CONTACT = "contact-"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_ON_FIRST_USE = re.compile(r"webhook(-ed25519)?-[0-9a-f]{12}-[1-9][0-9]*\Z")
"""Keys of webhook endpoints: many, each made when its endpoint is."""
_NUMBERED = re.compile(r"(?P<family>[a-z][a-z0-9-]*)-(?P<number>[1-9][0-9]*)\Z")
_CHECK = b"govern key check"
_DOCTOR = "govern doctor"


class FileKeyStore:
    """The keys of one installation, in a folder that only its owner can enter.

    Args:
        directory: the folder made by :meth:`create`.

    Raises:
        NotFound: there are no keys here.
        StoreUnavailable: others may read the folder or a file in it, or it cannot be read.
        Tampered: the master key is not the one that wrapped these keys.
    """

    def __init__(self, directory: Path) -> None:
        self._dir = directory
        self._lock = threading.RLock()
        self._open: dict[str, tuple[str, bytes]] = {}
        self._rules: dict[str, int] = {}
        if not (directory / "master.key").is_file():
            raise NotFound(f"no keys in {directory}: master.key is missing", hint="govern init")
        _private(directory)
        self._master = self._read_master()
        self._check_master()

    @classmethod
    def create(cls, directory: Path, *, name: str = "Govern", clock: Clock | None = None) -> FileKeyStore:
        """Make a folder with a master key and all keys an installation needs: 2 Ed25519, RSA-3072 with its certificate, 4 HMAC.

        Takes some seconds at most (the RSA key). An interrupted creation is completed by the next one.

        Args:
            directory: where; it may exist if it is empty or unfinished.
            name: of the installation; stands in the certificate.
            clock: when the certificate begins; the system's time without it.

        Raises:
            Conflict: complete keys are there already.
        """
        if (directory / f"{_PDF}.json").exists() or (directory / f"{_PDF}.destroyed").exists():
            raise Conflict(f"{directory} already holds keys; they are not replaced", hint="choose another home")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
            if not (directory / "master.key").exists():
                _write(directory / "master.key", secrets.token_bytes(crypto.MASTER_SIZE).hex().encode() + b"\n")
        except OSError as error:
            raise StoreUnavailable(f"{directory} cannot be made: {error.strerror}", hint="check the folder and its free space") from error
        store = cls(directory)
        for key in _SIGNING:
            store._ensure(key, _ED25519)
        for key in _COMMITMENTS:
            store._ensure(key, _HMAC)
        store._ensure("epoch-1", _HMAC, canonicalisation=RULES)
        pem, certificate = crypto.signing_certificate(name, now=time.time_ns() if clock is None else clock.now())
        store._store(_PDF, _RSA, pem, certificate=certificate.decode())
        return store

    # ── use ─────────────────────────────────────────────────────────────────────────────────────
    def sign_ed25519(self, name: str, message: bytes) -> bytes:
        """The 64 bytes of the signature."""
        return crypto.sign(self._of(name, _ED25519), message)

    def public_ed25519(self, name: str) -> bytes:
        """The 32 raw bytes of the public key; a webhook's is made on first use."""
        if _ON_FIRST_USE.match(name):
            self._ensure(name, _ED25519)
        return crypto.public(self._of(name, _ED25519))

    def hmac(self, name: str, message: bytes) -> bytes:
        """HMAC-SHA256, 32 bytes.

        ``suppression``, ``rowset``, ``sharding``, ``contact-…`` and a webhook's key are made on first use; an epoch only by :meth:`rotate`.
        """
        if name in _COMMITMENTS or name.startswith(_CONTACT) or _ON_FIRST_USE.match(name):
            self._ensure(name, _HMAC)
        return crypto.hmac_sha256(self._of(name, _HMAC), message)

    def hmacs(self, name: str, messages: Iterable[bytes]) -> list[bytes]:
        """HMAC-SHA256 of each message, in order."""
        self.hmac(name, b"")  # makes a key that is made on first use, and refuses the others
        return crypto.hmacs_sha256(self._of(name, _HMAC), messages)

    def secret(self, name: str) -> bytes:
        """The secret's raw bytes (for ``pdf`` the PEM of its private key).

        Raises:
            NotFound: there is no such key.
            Gone: it was destroyed.
        """
        return self._load(name)[1]

    def certificate(self, name: str) -> bytes:
        """The PEM of the key's self-signed certificate.

        Raises:
            NotFound: no such key, or one without a certificate.
        """
        self._load(name)
        text = self._document(name).get("certificate")
        if not isinstance(text, str):
            raise NotFound(f"the key {name!r} has no certificate")
        return text.encode()

    def living(self, prefix: str) -> list[str]:
        """Names of the keys that begin with ``prefix`` and were not destroyed; of numbered ones the newest first."""
        folder = self._folder(prefix)
        with self._lock:
            try:
                with os.scandir(folder) as entries:  # one look, for every request and every row that comes in asks which epochs live
                    there = [entry.name for entry in entries]
            except FileNotFoundError:  # the folder of contact keys is made with the first of them
                there = []
            except OSError as error:
                raise StoreUnavailable(f"{folder} cannot be read: {error.strerror}", hint="check whose the folder is") from error
        files = [name for name in there if name.startswith(prefix)]
        gone = {name.removesuffix(".destroyed") for name in files if name.endswith(".destroyed")} | {"check"}
        return sorted({name.removesuffix(".json") for name in files if name.endswith(".json")} - gone, key=_newest_first)

    def rotate(self, family: str = "epoch", *, to: str | None = None) -> str:
        """Make the next key of a numbered family and return its name; the older ones live on until they are destroyed.

        Args:
            family: ``epoch``.
            to: the name that the next one has; again when it is there already changes nothing.

        Raises:
            BadInput: only epochs are numbered; ``to`` is neither the newest nor the next. Gone: ``to`` was destroyed.
        """
        if family != "epoch":
            raise BadInput(f"keys of the kind {family!r} are not rotated here", hint="only epochs are numbered: govern keys rotate epoch")
        with self._lock:
            known = [_NUMBERED.match(path.stem) for suffix in ("json", "destroyed") for path in self._dir.glob(f"{family}-*.{suffix}")]
            newest = max((int(m["number"]) for m in known if m is not None and m["family"] == family), default=0)
            name = f"{family}-{newest + 1}" if to is None else to
            if name not in (f"{family}-{newest}", f"{family}-{newest + 1}"):
                raise BadInput(f"the next key of the family is {family}-{newest + 1}, not {name[:80]!r}", hint="govern keys epochs")
            self._ensure(name, _HMAC, canonicalisation=RULES)
        return name

    def canonicalisation(self, name: str) -> int:
        """The version of the rules for identifiers under which an epoch's references are made.

        Raises:
            NotFound: there is no such key. Gone: it was destroyed. Tampered: the version in its file was altered.
        """
        with self._lock:
            if name not in self._rules:
                self._load(name)
                self._rules[name] = int(self._document(name).get("canonicalisation", 1))
            return self._rules[name]

    def destroy(self, name: str) -> None:
        """Destroy a key for ever; again is no error. The tombstone is durable before the key's file goes.

        Raises:
            NotFound: there never was such a key.
        """
        with self._lock:
            path, tombstone = self._path(name), self._tombstone(name)
            if not path.exists() and not tombstone.exists():
                raise self._missing(name)
            try:
                if not tombstone.exists():
                    _write(tombstone, b"destroyed\n")
                self._open.pop(name, None)
                self._rules.pop(name, None)
                if path.exists():
                    _overwrite(path)
                    path.unlink()
                    _sync(path.parent)
            except OSError as error:
                raise StoreUnavailable(f"{path} cannot be destroyed: {error.strerror}", hint=_DOCTOR) from error

    # ── files ───────────────────────────────────────────────────────────────────────────────────
    def _ensure(self, name: str, algorithm: str, *, canonicalisation: int | None = None) -> None:
        with self._lock:
            if name in self._open or self._path(name).exists():
                return
            secret = crypto.new_ed25519() if algorithm == _ED25519 else secrets.token_bytes(32)
            self._store(name, algorithm, secret, canonicalisation=canonicalisation)

    def _store(
        self, name: str, algorithm: str, secret: bytes, *, certificate: str | None = None, canonicalisation: int | None = None
    ) -> None:
        with self._lock:
            if self._tombstone(name).exists():
                raise Gone(f"the key {name!r} was destroyed and cannot be made again under this name")
            document: dict[str, Any] = {"algorithm": algorithm, "format": _FORMAT, "name": name}
            if canonicalisation is not None:
                document["canonicalisation"] = canonicalisation
            document |= crypto.wrap(self._master, secret, _bound(name, algorithm, canonicalisation))
            if certificate is not None:
                document["certificate"] = certificate
            try:
                self._folder(name).mkdir(mode=0o700, exist_ok=True)
                _write(self._path(name), json.dumps(document, sort_keys=True, indent=1).encode() + b"\n")
            except OSError as error:
                raise StoreUnavailable(f"{self._path(name)} cannot be written: {error.strerror}", hint="check the free space") from error

    def _of(self, name: str, algorithm: str) -> bytes:
        found, secret = self._load(name)
        if found != algorithm:
            raise BadInput(f"the key {name!r} is {found}, not {algorithm}")
        return secret

    def _load(self, name: str) -> tuple[str, bytes]:
        with self._lock:
            if name in self._open:
                return self._open[name]
            document = self._document(name)
            algorithm = str(document.get("algorithm"))
            try:
                secret = crypto.unwrap(self._master, document, _bound(name, algorithm, document.get("canonicalisation")))
            except ValueError as error:
                raise Tampered(f"{self._path(name)} was altered: it does not open with master.key", hint="restore the file") from error
            self._open[name] = (algorithm, secret)
            return algorithm, secret

    def _document(self, name: str) -> dict[str, Any]:
        path = self._path(name)
        if self._tombstone(name).exists():
            raise Gone(f"the key {name!r} was destroyed")
        if not path.exists():
            raise self._missing(name)
        _private(path)
        try:
            document = json.loads(path.read_bytes())
        except OSError as error:
            raise StoreUnavailable(f"{path} cannot be read: {error.strerror}", hint=_DOCTOR) from error
        except ValueError as error:
            raise Tampered(f"{path} was altered: it is not JSON", hint="restore the file") from error
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            raise StoreUnavailable(f"{path} is not a key file of format {_FORMAT}", hint="pip install --upgrade govern-ml")
        return document

    def _read_master(self) -> bytes:
        path = self._dir / "master.key"
        _private(path)
        try:
            master = bytes.fromhex(path.read_text().strip())
        except OSError as error:
            raise StoreUnavailable(f"{path} cannot be read: {error.strerror}", hint=_DOCTOR) from error
        except ValueError as error:
            raise Tampered(f"{path} is not a master key: it is not hexadecimal", hint="restore the file") from error
        if len(master) != crypto.MASTER_SIZE:
            raise Tampered(f"{path} is not a master key: it holds {len(master)} bytes, not {crypto.MASTER_SIZE}", hint="restore the file")
        return master

    def _check_master(self) -> None:
        path = self._dir / "check.json"
        if not path.exists():
            if any(p.suffix == ".json" for p in self._dir.iterdir()):
                raise Tampered(f"{path} is missing: the master key cannot be checked", hint="restore the file")
            self._store("check", _HMAC, _CHECK)
        try:
            opened = self._load("check")[1]
        except Tampered as error:
            raise Tampered(
                f"{self._dir / 'master.key'} is not the master key of these keys (or check.json was altered)",
                hint="restore the right master.key",
            ) from error
        if opened != _CHECK:
            raise Tampered(f"{path} was altered", hint="restore the file")

    def _path(self, name: str) -> Path:
        if not _NAME.match(name):
            raise BadInput(f"not a key name: {name!r}")
        return self._folder(name) / f"{name}.json"

    def _folder(self, name: str) -> Path:
        return self._dir / "contact" if name.startswith(_CONTACT) else self._dir

    def _tombstone(self, name: str) -> Path:
        return self._path(name).with_suffix(".destroyed")

    def _missing(self, name: str) -> NotFound:
        return NotFound(f"no key {name!r} in {self._dir}; there are: {', '.join(self.living('')) or 'none'}", hint="govern keys list")


def _bound(name: str, algorithm: str, canonicalisation: int | None = None) -> bytes:
    rules = "" if canonicalisation is None else f"\ncanonicalisation {canonicalisation}"
    return f"govern key {_FORMAT}\n{name}\n{algorithm}{rules}".encode()


def _newest_first(name: str) -> tuple[str, int]:
    match = _NUMBERED.match(name)
    return (name, 0) if match is None else (match["family"], -int(match["number"]))


def _private(path: Path) -> None:
    """Refuse a file or folder that others than its owner may use, or that is another user's."""
    try:
        found = path.stat()
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be read: {error.strerror}", hint=_DOCTOR) from error
    if stat.S_IMODE(found.st_mode) & 0o077:
        wanted = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise StoreUnavailable(
            f"{path} holds secrets, and others may use it (mode {stat.S_IMODE(found.st_mode):04o})", hint=f"chmod {wanted} {path}"
        )
    if found.st_uid != os.geteuid():
        raise StoreUnavailable(f"{path} belongs to user {found.st_uid}, not to {os.geteuid()}", hint=f"chown {os.geteuid()} {path}")


def _write(path: Path, content: bytes) -> None:
    """Write the whole file, for its owner only, or leave what was there: durable on return."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _overwrite(path: Path) -> None:
    """Put random bytes in place of the content; a file system that copies on write may keep the old ones until it reuses them."""
    with path.open("r+b") as file:
        file.write(secrets.token_bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
