"""The erasure service with its papers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from governance.erasure.absences import proofs_again
from governance.erasure.requests import Erasures
from governance.registry.datasets import Datasets
from governance.registry.papers import Papers
from lineage.errors import NotFound

if TYPE_CHECKING:
    from reports.model import Dossier

__all__ = ["ErasureDoor"]


class ErasureDoor(Erasures):
    """The erasure service with its papers."""

    def bind(self, papers: Papers, compile_: Callable[[Mapping[str, Any]], Dossier], datasets: Datasets) -> None:
        """Give it what is made after it."""
        self._papers = papers
        self._datasets = datasets
        self._compile = compile_

    def certify(self, ident: str, ended: Mapping[str, Any]) -> dict[str, Any]:
        """The certificate of the request's present round as it ends; made once."""
        record = self.record(ident)
        dossier = self._compile({**self.get(ident), **ended})
        return self._papers.make(self._papers.certificate_id(ident, record["round"]), dossier)

    def certificate(self, ident: str) -> bytes:
        """The newest certificate; ``NotFound`` while the request is not over."""
        report = self.record(ident).get("report")
        if report is None:
            raise NotFound(f"erasure request {ident} has no certificate yet", hint=f"govern erasure show {ident}")
        return self._papers.pdf(report)

    def proofs(self, ident: str, digest: str) -> bytes:
        """A file of proofs that the certificate names by its digest (``sha256:<hex>``), made anew.

        Raises:
            NotFound: no such request, or its certificate names no such file.
        """
        return proofs_again(self._datasets, self.record(ident), digest)

    def dossier(self, ident: str) -> dict[str, Any]:
        """The machine-readable twin of the certificate."""
        from reports.codec import dossier_to_json

        return dossier_to_json(self._compile(self.get(ident)))
