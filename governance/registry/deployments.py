"""Which model version serves where, from when to when; nothing is released but through its gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from governance.errors import GateRefused, Held
from governance.evidence import derived_id, new_id
from governance.registry import fence
from governance.registry.acts import SYSTEM, act
from governance.registry.find import Parsed, bodies, must_find
from governance.registry.models import Models, version_ident
from lineage.errors import BadInput, Conflict, NotFound
from lineage.ports import Clock, Ledger, LedgerTx

__all__ = ["Deployments"]


class Deployments:
    """Releases, rollbacks and withdrawals. ``announce`` emits the OpenLineage event of a deployment run through the front door."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        models: Models,
        *,
        announce: Callable[[dict[str, Any], str, dict[str, Any]], None],
        suppressed: Callable[[dict[str, Any]], int],
        retired: Callable[[str, int], None],
        went_live: Callable[[dict[str, Any]], None],
    ) -> None:
        self._ledger = ledger
        self._parsed = Parsed(ledger, "deployment")
        self._serving: tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]] = ((), ())
        self._clock = clock
        self._models = models
        self._announce = announce
        self._suppressed = suppressed
        self._retired = retired
        self._went_live = went_live

    def release(self, model: str, version: str, environment: str, *, actor: str, idempotency: str | None = None) -> dict[str, Any]:
        """Serve a version in an environment; ``GateRefused`` unless its last decision is a pass."""
        body = self._models.resolve(model, version)
        if not environment:
            raise BadInput("a release needs an environment", hint=f"govern release {model}@{body['version']} --to production")
        allowed = self._models_config(model).get("environments")
        if allowed and environment not in allowed:
            raise BadInput(f"model {model} declares the environments {', '.join(allowed)}, not {environment!r}", hint="see govern.yaml")
        self._must_be_allowed(body)
        # A destroyed version is gone, whatever else is true of it: the answer that says most comes first.
        self._models.living_artifact(body)
        self._must_hold_no_erased_row(body, "release")
        ident = derived_id("deployment", actor, idempotency) if idempotency else new_id(self._clock.now())
        return self.activate(ident, body, environment, reason="release", actor=actor)

    def activate(self, ident: str, body: Mapping[str, Any], environment: str, *, reason: str, actor: str = SYSTEM) -> dict[str, Any]:
        """Make a version the active one of an environment; the one before ends at the same instant. Idempotent by ``ident``."""
        self._must_be_allowed(body)
        self._models.living_artifact(body)
        model, version = body["model"], body["version"]
        self._must_not_be_held(f"model:{model}", f"model:{model}@{version}")
        guard = fence.guard()

        def work(tx: LedgerTx) -> tuple[dict[str, Any], list[dict[str, Any]]]:
            guard(tx)
            found = tx.record("deployment", ident)
            if found is not None:
                if (found[0]["model"], found[0]["version"], found[0]["environment"]) != (model, version, environment):
                    raise Conflict("this Idempotency-Key was used for another release", hint="use a new key for new work")
                # What ended when it began is told again: a kill may have come before it was told.
                return found[0], [
                    other
                    for other in bodies(tx, "deployment")
                    if (other["model"], other["environment"], other["active_to"]) == (model, environment, found[0]["active_from"])
                ]
            now = self._clock.now()
            ended = [
                other | {"active_to": now}
                for other in bodies(tx, "deployment")
                if other["model"] == model and other["environment"] == environment and other["active_to"] is None
            ]
            new = {
                "id": ident, "model": model, "version": version, "environment": environment, "active_from": now, "active_to": None,
                "run_id": derived_id("deployment-run", ident), "reason": reason,
            }  # fmt: skip
            records = {("deployment", other["id"]): other for other in ended} | {("deployment", ident): new}
            for other in ended:
                if other["version"] != version:
                    key = ("version", version_ident(model, other["version"]))
                    before = tx.record(*key)
                    if before is not None and before[0]["status"] == "released":
                        records[key] = before[0] | {"status": "superseded"}
            owner = must_find(tx, "model", model, what="model")
            records["version", version_ident(model, version)] = {**body, "status": "released"}
            records["model", model] = owner | {"aliases": owner["aliases"] | {environment: version}}
            tx.append(act("deployment.activated", actor=actor, records=records))
            return new, ended

        new, ended = self._ledger.transact(work)
        for other in ended:
            self._announce(other, "COMPLETE", self._models.resolve(model, other["version"]))
            self._retired(model, other["version"])
        self._announce(new, "START", dict(body))
        self._went_live(dict(body))
        return new

    def rollback(self, model: str, environment: str, *, actor: str) -> dict[str, Any]:
        """Serve the version again that was active before; refused when it was destroyed or meets the suppression list."""
        history = sorted(
            (body for body in self.list(model)["deployments"] if body["environment"] == environment), key=lambda body: body["active_from"]
        )
        if not history:
            raise NotFound(f"model {model} was never released to {environment!r}", hint=f"govern release {model}@latest --to {environment}")
        current = next((body for body in reversed(history) if body["active_to"] is None), None)
        before = next((body for body in reversed(history) if current is None or body["version"] != current["version"]), None)
        if before is None:
            raise Conflict(f"there is no earlier version of {model} in {environment}", hint=f"govern trace {model}")
        body = self._models.resolve(model, before["version"])
        self._must_hold_no_erased_row(body, "rollback")
        return self.activate(new_id(self._clock.now()), body, environment, reason="rollback", actor=actor)

    def withdraw(self, model: str, version: int, *, reason: str, actor: str = SYSTEM) -> Sequence[dict[str, Any]]:
        """End every active deployment of a version without a successor; idempotent."""
        guard = fence.guard()

        def work(tx: LedgerTx) -> Sequence[dict[str, Any]]:
            guard(tx)
            now = self._clock.now()
            ended = [
                body | {"active_to": now, "reason": reason}
                for body in bodies(tx, "deployment")
                if body["model"] == model and body["version"] == version and body["active_to"] is None
            ]
            if ended:
                owner = must_find(tx, "model", model, what="model")
                aliases = {name: number for name, number in owner["aliases"].items() if number != version}
                records = {("deployment", body["id"]): body for body in ended} | {("model", model): owner | {"aliases": aliases}}
                tx.append(act("deployment.withdrawn", actor=actor, records=records))
            return ended

        ended = self._ledger.transact(work)
        for body in ended:
            self._announce(body, "COMPLETE", self._models.resolve(model, version))
            self._retired(model, version)
        return ended

    def list(self, model: str | None = None, active: bool | None = None) -> dict[str, Any]:
        """Deployments, oldest first."""
        chosen = [
            dict(body)
            for body in self._parsed.bodies()
            if (model is None or body["model"] == model) and (active is None or (body["active_to"] is None) == active)
        ]
        return {"deployments": sorted(chosen, key=lambda body: body["active_from"])}

    def serving(self) -> Sequence[dict[str, Any]]:
        """What serves now, oldest first: to be read and not changed, and the same object until a deployment changes."""
        bodies, (of, serving) = self._parsed.bodies(), self._serving
        if bodies is not of:
            serving = tuple(sorted((body for body in bodies if body["active_to"] is None), key=lambda body: body["active_from"]))
            self._serving = (bodies, serving)
        return serving

    def active(self, model: str, environment: str | None = None) -> dict[str, Any] | None:
        """The deployment that serves a model: in the environment, else in production, else in any."""
        living = self.list(model, active=True)["deployments"]
        living.sort(key=lambda body: (body["environment"] != (environment or "production"), -body["active_from"]))
        if environment is not None:
            living = [body for body in living if body["environment"] == environment]
        return living[0] if living else None

    def _must_be_allowed(self, body: Mapping[str, Any]) -> None:
        name = f"{body['model']}@{body['version']}"
        found = self._ledger.record("decision", version_ident(body["model"], body["version"]))
        if found is None:
            raise GateRefused(f"{name} was not audited, and unknown is not a pass", hint=f"govern audit {name}, then govern gate {name}")
        decision = found[0]["decision"]
        if decision["outcome"] != "pass":
            reasons = "; ".join(gate["reason"] for gate in decision["gates"] if gate["severity"] == "block" and gate["outcome"] != "pass")
            raise GateRefused(f"the gate of {name} says {decision['outcome']}: {reasons}", hint=f"govern gate {name}")

    def _must_hold_no_erased_row(self, body: Mapping[str, Any], what: str) -> None:
        """A training may have read its rows before a purge and ended after it: its version is never put into service."""
        touched = self._suppressed(dict(body))
        if touched:
            raise GateRefused(
                f"{body['model']}@{body['version']} was trained on {touched} row(s) of erased subjects; {what} is refused",
                hint=f"govern train {body['model']}",
            )

    def _must_not_be_held(self, *assets: str) -> None:
        for hold in bodies(self._ledger, "hold"):
            if hold["released_at"] is None and hold["asset"] in assets:
                raise Held(f"{hold['asset']} is held: {hold['ground']}", hint=_release_hint(hold))

    def _models_config(self, model: str) -> dict[str, Any]:
        return must_find(self._ledger, "model", model, what="model").get("config") or {}


def _release_hint(hold: Mapping[str, Any]) -> str:
    return f"govern incident close {hold['incident']}" if hold["incident"] else "GET /api/v1/holds names its ground and its day of review"
