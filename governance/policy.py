"""The policy of a model: which audits run with which parameters, and what their numbers must be. YAML in, a frozen value out.

A key that is not known, a gate on a metric that its audit does not give, a key given twice, or no gate at all is refused, with the line.
The digest is over the meaning (canonical JSON of all values, defaults included), not over the text: comments do not change it.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal, NoReturn, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from audits.catalog import METRICS
from audits.judge import Requirement
from audits.model import json_digest
from lineage.errors import BadInput

__all__ = ["BadPolicy", "ErasurePolicy", "Gate", "Policy", "PrivacyBudget", "ServingPolicy", "parse_policy"]

REGRESSION = "regression.cases"
_MAX_BYTES = 1_000_000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class BadPolicy(BadInput):
    """The policy cannot be used; the message names the line."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True)


Confidence = Annotated[float, Field(ge=0.8, lt=1)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Class = str | int


class _Attribute(_Strict):
    column: Name | None = None
    bins: tuple[float, ...] = ()


class _Performance(_Strict):
    confidence: Confidence = 0.95
    favourable: Class | None = None


class _Fairness(_Strict):
    protected: Annotated[dict[Name, _Attribute], Field(min_length=1)]
    favourable: Class | None = None
    min_group: Annotated[int, Field(ge=10)] = 30
    suppress_below: Annotated[int, Field(ge=5)] = 10
    confidence: Confidence = 0.95


class _Evasion(_Strict):
    eps: Annotated[tuple[Annotated[float, Field(gt=0, le=10)], ...], Field(min_length=1, max_length=10)]
    steps: Annotated[int, Field(ge=2, le=1000)] = 20
    random_tries: Annotated[int, Field(ge=1, le=10_000)] = 20
    immutable: tuple[Name, ...] = ()
    masked_share: Annotated[float, Field(ge=0, le=0.5)] = 0.01
    confidence: Confidence = 0.95


class _Explanation(_Strict):
    rows: Annotated[int, Field(ge=10, le=10_000)] = 60
    background: Annotated[int, Field(ge=1, le=1000)] = 20
    tolerance: Annotated[float, Field(gt=0, le=0.1)] = 0.01
    max_steps: Annotated[int, Field(ge=32, le=10_000)] = 1600
    favourable: Class | None = None
    protected: tuple[Name, ...] = ()
    confidence: Confidence = 0.95


class _Regression(_Strict):
    pass


class _Audits(_Strict):
    performance: _Performance | None = Field(None, alias="perf.noninferior")
    fairness: _Fairness | None = Field(None, alias="fair.rates")
    evasion: _Evasion | None = Field(None, alias="robust.evasion")
    explanation: _Explanation | None = Field(None, alias="explain.additive")
    regression: _Regression = Field(_Regression(), alias="regression.cases")


class Gate(_Strict):
    """One requirement on one metric of one finding, and what happens when it is missed or cannot be decided."""

    gate: Name
    finding: Name
    metric: Name
    group: Name | None = None
    bound: Literal["interval", "low", "high", "value"] = "interval"
    op: Literal["<=", ">="]
    threshold: float
    severity: Literal["block", "warn"] = "block"
    inconclusive: Literal["block", "warn"] = "block"
    because: str = ""

    @property
    def requirement(self) -> Requirement:
        """The same, as audits judge it."""
        return Requirement(metric=self.metric, op=self.op, threshold=self.threshold, bound=self.bound, group=self.group)


Interval = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}[smhd]$")]
"""A length of time: ``30s``, ``15m``, ``6h``, ``7d``."""

_KEEP_UNTIL = re.compile(r"keep_until ([0-9]{4}-[0-9]{2}-[0-9]{2})")


class ErasurePolicy(_Strict):
    """What an erasure does with the model, and when."""

    on_gate_failure: str = "keep"
    """Does the predecessor serve while a human decides about a successor that failed its gate? ``keep`` (or ``human``): it does;
    ``withdraw``: it does not; ``keep_until 2026-12-31``: it does until the end of that day (UTC), and is then withdrawn."""
    reproduce: bool = True
    """Train the successor a second time in another home and compare (level L3)."""
    min_interval: Interval = "0s"
    """Least time between two retrains of one model; requests in between wait for the next. In production ``1d``: a flood of requests
    then costs one retrain a day at most."""
    cadence: Interval = "0s"
    """How long the first request waits for others to share its retrain; ``0s``: not at all. A due date that draws near is not waited
    past. Where requests are many, ``7d``."""
    cost_cap: Interval | None = None
    """Retraining time in thirty days above which an alert is given; nothing is delayed by it."""

    @field_validator("on_gate_failure")
    @classmethod
    def _known(cls, value: str) -> str:
        if value in ("keep", "human", "withdraw"):
            return value
        dated = _KEEP_UNTIL.fullmatch(value)
        if dated is None:
            raise ValueError("it must be keep, human, withdraw, or `keep_until YEAR-MONTH-DAY`")
        date.fromisoformat(dated[1])  # a day that is in no calendar is refused
        return value

    @property
    def meanwhile(self) -> str:
        """``keep`` or ``withdraw``: what the predecessor does when its successor fails."""
        return "withdraw" if self.on_gate_failure == "withdraw" else "keep"

    @property
    def keep_until_ns(self) -> int | None:
        """The end of the last day on which the predecessor may serve without a decision, UTC nanoseconds."""
        dated = _KEEP_UNTIL.fullmatch(self.on_gate_failure)
        if dated is None:
            return None
        after = datetime.combine(date.fromisoformat(dated[1]), time(), UTC) + timedelta(days=1)
        return int(after.timestamp()) * 1_000_000_000

    @property
    def min_interval_ns(self) -> int:
        """The interval in nanoseconds."""
        return _nanoseconds(self.min_interval)

    @property
    def cadence_ns(self) -> int:
        """The cadence in nanoseconds."""
        return _nanoseconds(self.cadence)

    @property
    def cost_cap_ns(self) -> int | None:
        """The cap in nanoseconds, ``None`` without one."""
        return None if self.cost_cap is None else _nanoseconds(self.cost_cap)

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keys that came later are left out at their defaults: a policy that says nothing new keeps its digest."""
        body: dict[str, Any] = handler(self)
        return {key: value for key, value in body.items() if key not in _LATER or value != _LATER[key]}


_LATER: Mapping[str, Any] = {"cadence": "0s", "cost_cap": None}


def _nanoseconds(interval: str) -> int:
    return int(interval[:-1]) * _UNITS[interval[-1]] * 1_000_000_000


class PrivacyBudget(_Strict):
    """How much privacy all trainings on the model's data may spend together ((epsilon, delta)-DP)."""

    lifetime_epsilon: Annotated[float, Field(gt=0)]
    delta: Annotated[float, Field(gt=0, lt=1)]


class ServingPolicy(_Strict):
    """How predictions are served."""

    unknown_subject: Literal["accept", "refuse"] = "accept"
    """Is a prediction given without ``govern_subject``? Certificates count those."""


class Policy(_Strict):
    """A policy, checked. ``audits`` is what an audit request takes; ``digest`` identifies its meaning."""

    name: Name
    version: Annotated[int, Field(ge=1)]
    owner: str = ""
    description: str = ""
    measured: _Audits = Field(alias="audits")
    gates: Annotated[tuple[Gate, ...], Field(min_length=1)]
    erasure: ErasurePolicy = ErasurePolicy()
    privacy: PrivacyBudget | None = None
    serving: ServingPolicy = ServingPolicy()

    @model_validator(mode="after")
    def _gates_fit(self) -> Self:
        seen: set[str] = set()
        for i, gate in enumerate(self.gates):
            if gate.gate in seen:
                raise _At(("gates", i, "gate"), f"there are two gates named {gate.gate!r}")
            seen.add(gate.gate)
            if gate.finding not in self.audits:
                raise _At(("gates", i, "finding"), f"no audit {gate.finding!r} is configured{_near(gate.finding, self.audits)}")
            if gate.metric not in METRICS[gate.finding]:
                near = _near(gate.metric, METRICS[gate.finding])
                raise _At(("gates", i, "metric"), f"{gate.finding} gives no metric {gate.metric!r}{near}")
        return self

    @cached_property
    def audits(self) -> Mapping[str, Mapping[str, Any]]:
        """Audit → parameters, with what the blocking gates require of it; the regression cases always."""
        configured = self.measured.model_dump(mode="json", by_alias=True, exclude_none=True)
        for audit, config in configured.items():
            gates = [g for g in self.gates if g.finding == audit and g.severity == "block"]
            config["require"] = [
                {k: v for k, v in g.model_dump(mode="json").items() if k in ("metric", "group", "bound", "op", "threshold")} for g in gates
            ]
        regression = configured[REGRESSION]
        if not regression["require"]:
            # a policy cannot leave the regression cases out: every later gate of the model runs them
            regression["require"] = [{"metric": "failed_cases", "op": "<=", "threshold": 0.0, "bound": "value"}]
        return configured

    @cached_property
    def digest(self) -> str:
        """``sha256:<hex>`` of the canonical JSON (RFC 8785) of all values, defaults included."""
        return json_digest(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The policy as plain JSON."""
        return self.model_dump(mode="json", by_alias=True)


class _At(ValueError):
    """A refusal with the place in the document."""

    def __init__(self, where: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.where = where


def _near(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}"


def parse_policy(text: str) -> Policy:
    """The policy in ``text`` (YAML 1.1, the safe subset).

    Raises:
        BadPolicy: not YAML, a key unknown or given twice, a value of the wrong kind or range, a gate that can never be decided, no gate.
    """
    if len(text.encode("utf-8", "surrogatepass")) > _MAX_BYTES:
        raise BadPolicy("the policy is larger than 1 MB", hint="govern policy check FILE")
    lines: dict[tuple[str | int, ...], int] = {}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            raise BadPolicy("the policy is empty: an empty policy is an error, not a pass", hint="govern policy check FILE")
        _walk(node, (), lines)
        body = json.dumps(yaml.safe_load(text), allow_nan=False)
    except yaml.MarkedYAMLError as error:
        at = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise BadPolicy(f"{at}{error.problem or error.context}", hint="govern policy check FILE") from error
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise BadPolicy(f"the policy cannot be read: {error}", hint="govern policy check FILE") from error
    try:
        return Policy.model_validate_json(body)
    except ValidationError as error:
        _refuse(error, lines)


def _walk(node: yaml.Node, path: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]) -> None:
    """Note the line of every place; refuse a key that is given twice (YAML would keep the last, silently)."""
    lines.setdefault(path, node.start_mark.line + 1)
    for key, line, value in _children(node):
        if (*path, key) in lines:
            raise BadPolicy(f"line {line}: {key!r} is given twice", hint="govern policy check FILE")
        lines[*path, key] = line
        _walk(value, (*path, key), lines)


def _children(node: yaml.Node) -> Iterator[tuple[str | int, int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield i, value.start_mark.line + 1, value


def _refuse(error: ValidationError, lines: Mapping[tuple[str | int, ...], int]) -> NoReturn:
    """All that is wrong, each with its line."""
    said = []
    for one in error.errors(include_url=False):
        cause = one.get("ctx", {}).get("error")
        where = cause.where if isinstance(cause, _At) else tuple(one["loc"])
        place = where
        while place and place not in lines:
            place = place[:-1]
        at = f"line {lines[place]}: " if place in lines else ""
        name = ".".join(str(p) for p in where)
        text = str(cause) if cause is not None else re.sub(r"^Value error, ", "", one["msg"])
        if one["type"] == "extra_forbidden":
            text = f"there is no such key{_sibling(where)}"
        said.append(f"{at}{name}: {text}")
    raise BadPolicy("; ".join(dict.fromkeys(said)), hint="govern policy check FILE") from error


_KEYS: Mapping[str, type[BaseModel]] = {
    "perf.noninferior": _Performance,
    "fair.rates": _Fairness,
    "robust.evasion": _Evasion,
    "explain.additive": _Explanation,
    REGRESSION: _Regression,
    "audits": _Audits,
    "gates": Gate,
    "erasure": ErasurePolicy,
    "privacy": PrivacyBudget,
    "serving": ServingPolicy,
}


def _sibling(where: tuple[str | int, ...]) -> str:
    """The nearest key that would be known at this place."""
    named = [p for p in where[:-1] if isinstance(p, str)]
    model = _KEYS.get(named[-1]) if named else Policy
    if model is None:
        return ""
    known = tuple(f.alias or n for n, f in model.model_fields.items())
    close = difflib.get_close_matches(str(where[-1]), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
