"""The JSON bodies that the door accepts: strict models that refuse unknown keys and say which field is wrong.

Imported only when a body is checked (or documented): the reads of a cold command need no pydantic.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from governance.api.fields import IDENTIFIER, SNAPSHOT, Body, Name, Short, Text, Time, Version, Whole, whole
from governance.api.problems import InvalidBody
from governance.erasure.packs import SHIPPED

__all__ = ["MODELS", "checked", "model_named"]

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")


class DatasetKey(Body):
    """Columns that name a person, and what else of a row is about this person."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[a-z][a-z0-9_]*$")] = Field(
        description="what the person is to you, for example `email`", examples=["email"]
    )
    columns: Annotated[list[Short], Field(min_length=1, max_length=32)] = Field(
        description="one column, or several that name the person together (their tuple is the identifier)", examples=[["sender"]]
    )
    about: Annotated[list[Short], Field(max_length=32)] = Field(
        default_factory=list, description="further columns about this person: emptied where a row is redacted", examples=[["sender_name"]]
    )
    region: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = Field(
        None, description="ISO 3166-1 region of telephone numbers without a country code (type `phone`); none is guessed"
    )


class SharedRowsRule(Body):
    """What an erasure does with a row that is about somebody else too."""

    rule: Literal["purge", "redact", "retain"] = Field(
        description="`purge`: the row goes, for both; `redact`: it stays without the columns about the erased person, under a new row id; "
        "`retain`: it stays as it is, on a ground"
    )
    ground: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = Field(
        None, description="why rows are retained (GDPR art. 17(3)); printed on certificates, so it names nobody"
    )


class NewDataset(Body):
    """A dataset to be governed."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"kind": {"enum": ["lines", "csv"]}}},
            "then": {"required": ["path"], "properties": {"path": {"type": "string"}}},
            "anyOf": [{"required": ["subject_key"]}, {"required": ["subject_keys"]}],
        }
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    kind: Literal["lance", "delta", "parquet", "lines", "csv"] = Field(
        description="a versioned table: `lance` (the default choice), `delta`, `parquet`; a file that others deliver, one record a line: "
        "`lines` (plain text), `csv` (with a header line)"
    )
    path: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = Field(
        None, description="where the file lies in the landing folder (`lines`, `csv`); a table has none"
    )
    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = Field(
        None,
        description="a folder in an object store for a table, for example `s3://lake/people`; never with credentials",
    )
    subject_key: Short | None = Field(
        None, description="column (or `line`, the line number) that names the person; null, and no `subject_keys`: no persons"
    )
    subject_type: Short | None = Field(None, description="what the person is to you, for example `applicant`")
    subject_keys: Annotated[list[DatasetKey], Field(min_length=1, max_length=16)] | None = Field(
        None, description="in place of `subject_key`: several keys, keys of several columns, telephone numbers with a region"
    )
    shared_rows: SharedRowsRule | None = Field(None, description="needed with several keys: what becomes of rows about several people")

    @model_validator(mode="after")
    def _says_whom(self) -> Self:
        """That rows are about nobody is said and not left out: the rows of whom nobody thinks are the rows that no erasure finds."""
        if not self.model_fields_set & {"subject_key", "subject_keys"}:
            raise ValueError("subject_key (null: no persons) or subject_keys is missing")
        return self


class NewTraining(Body):
    """A training to be queued."""

    code: Annotated[str, StringConstraints(pattern=SNAPSHOT)] = Field(description="an uploaded code snapshot, `snapshot:<sha256>`")
    config: dict[str, Any] = Field(description="the model's section of `govern.yaml`")
    policy_text: Annotated[str, StringConstraints(max_length=200_000)] = Field(description="the policy's YAML, which is digested")


class NewDeployment(Body):
    """A release of a model version, through its gate."""

    model: Name
    version: Version = Field(description="a number, an alias or `latest`")
    environment: Name


class Rollback(Body):
    """Back to the version that served before."""

    model: Name
    environment: Name


class DataSubject(Body):
    """A person by type and value; both are turned into a keyed reference at once and never stored."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[a-z][a-z0-9_]*$")]
    value: (
        Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=IDENTIFIER)]
        | Annotated[int, Field(ge=-(2**63), le=2**63 - 1), BeforeValidator(whole)]
    )


class Contact(Body):
    """How to reach the person; kept encrypted under a key of the request's own, and shredded when the request is over."""

    channel: Literal["email"]
    address: Annotated[str, StringConstraints(min_length=3, max_length=320, pattern=r"^[^\s@]+@[^\s@]+$")] = Field(
        examples=["name@example.org"]
    )


class NewErasure(Body):
    """A request for erasure."""

    subject: DataSubject
    regulation: Annotated[Short, WithJsonSchema({"type": "string", "enum": list(SHIPPED)})] = Field(
        "GDPR", description="whose clock runs: the id of a law pack; `GET /api/v1/law-packs` lists those of this installation"
    )
    ground: Text | None = Field(None, description="the ground the person states, for example `art-17-1-b`; name no person")
    contact: Contact | None = None
    received: Time | None = Field(None, description="when it reached you, if before now: the clock runs from then")


class Challenge(Body):
    """What the person is asked, so that they show who they are."""

    method: Literal["code", "oidc", "ask"] = Field(
        description="`code`: a one-time code to the contact; `oidc`: the nonce for a login; `ask`: another proof, which `note` names"
    )
    note: Text | None = Field(None, description="what was asked for (`ask`); name no person")


class Verify(Body):
    """What shows the person's identity: a one-time code, an ID token, or the word of whoever checked it."""

    method: Short | None = Field(None, description="how it was checked, where somebody attests it")
    verifier: Short | None = None
    code: Annotated[str, StringConstraints(min_length=1, max_length=40)] | None = Field(None, description="the one-time code")
    id_token: Annotated[str, StringConstraints(min_length=1, max_length=16_384)] | None = Field(
        None, description="the ID token of the OpenID Provider, asked for with the challenge's nonce"
    )


class Retained(Body):
    """An asset that is not erased, and why."""

    asset: Short
    ground: Short = Field(description="a ground of the request's law pack, for example `art-17-3-b`")
    reasons: Text | None = Field(None, description="in plain words; name no person")


class Approve(Body):
    """Approval, by a key that neither made the request nor verified the identity."""

    note: Text | None = None
    refuse: list[Retained] | None = Field(None, max_length=1000, description="approval in part: these assets are retained")


class Refuse(Body):
    """A refusal with its ground and what the person is told."""

    ground: Short = Field(description="a ground of the request's law pack, for example `art-17-3-b`")
    reasons: Text | None = Field(None, description="in plain words; name no person")
    notice: Text | None = Field(None, description="what the person was told already; without it the law pack's words are used")


class Lift(Body):
    """Why a person who was erased may be taken in again."""

    ground: Short = Field(description="a ground under `lifts` of the request's law pack, for example `art-6-1-b`")
    reasons: Text = Field(description="how the person showed that they want it; name no person")


class ApproveLift(Body):
    """Approval of a lift, by another key than the one that asked."""

    note: Text | None = None


class Acknowledge(Body):
    """How the receipt was confirmed to the person."""

    how: Short


class ReleaseAssets(Body):
    """Held assets that are free now."""

    assets: list[Short] = Field(min_length=1, max_length=1000)
    reason: Text | None = None


class HoldAssets(Body):
    """Assets of the request to be kept for now, with the ground and the day of review."""

    assets: list[Short] = Field(min_length=1, max_length=1000, description="asset ids of the request's plan; never a person")
    ground: Text
    review: Time | None = Field(None, description="when the hold must be looked at again: RFC 3339, a day, or UTC nanoseconds")
    until: Time | None = Field(None, description="when the hold ends by itself, and what waited for it goes on")


class Extend(Body):
    """An extension of the deadline, with its reason."""

    reason: Text


class Withdraw(Body):
    """The person takes the request back."""

    reason: Text | None = None


class Decide(Body):
    """What to do when the successor failed its gate, or a request failed (`retry`)."""

    action: Literal["keep", "withdraw", "release", "retry"]
    reason: Text | None = None


class NewIncident(Body):
    """A prediction that went wrong."""

    prediction: Short
    summary: Text = Field(description="what happened; name no person")
    expect: Short | Whole | None = Field(None, description="the label it should have had: kept as a regression case")
    assets: list[Short] = Field(default_factory=list, description="further assets to hold")


class CloseIncident(Body):
    """The end of an incident; its hold is lifted."""

    resolution: Text | None = None


class NewReport(Body):
    """A paper to be made, signed and entered in the ledger."""

    kind: Literal["model-trace", "prediction-trace", "incident-trace", "dataset-impact"]
    subject: Text = Field(description="`MODEL[@VERSION]`, a prediction id, an incident id, or the namespace and name of a dataset")
    as_of: Time | None = Field(None, description="as it was then; of a model or a dataset")
    known_at: Time | None = Field(None, description="as Govern knew it then; of a model or a dataset")


class NewKey(Body):
    """An API key."""

    name: Short
    roles: list[Literal["ingest", "predict", "engineer", "privacy", "auditor", "admin"]] = Field(min_length=1)


class NewWebhook(Body):
    """A place that hears of events."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] = Field(description="where messages are posted; https")
    events: list[Annotated[str, StringConstraints(min_length=1, max_length=80)]] = Field(
        min_length=1, max_length=50, description="`FAMILY.*`, `FAMILY.EVENT` or `*`", examples=[["erasure.*"]]
    )
    scheme: Literal["v1", "v1a"] = Field("v1", description="`v1`: HMAC-SHA256 with a shared secret; `v1a`: Ed25519, a public key")


class NewRecipient(Body):
    """Somebody who was given a dataset or a model."""

    name: Short = Field(description="the organisation; not a person")
    role: Literal["processor", "controller", "joint_controller", "service_provider", "contractor", "third_party", "owner"]
    assets: list[Annotated[str, StringConstraints(min_length=1, max_length=210)]] = Field(
        min_length=1,
        max_length=1000,
        description="`dataset:NAME` or `model:NAME`; of an owner `owner:KIND:NAME`, `namespace:NAMESPACE` or `owner:*`",
    )
    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = Field(
        None, description="where it is told by a signed message; without one a person tells it"
    )
    keys: list[Annotated[str, StringConstraints(min_length=1, max_length=100)]] = Field(
        default_factory=list, max_length=100, description="of an owner: ids of the API keys that answer its tasks"
    )


class AcknowledgeNotice(Body):
    """A recipient said that it followed."""

    reference: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        None, description="number of its letter or ticket; no name"
    )


class ExcuseNotice(Body):
    """Why a recipient is not told."""

    excuse: Literal["impossible", "disproportionate"]
    ground: Text


class OpenDsrIdentity(BaseModel):
    """One identity of a person (OpenDSR §5.3)."""

    model_config = ConfigDict(extra="ignore", strict=True)

    identity_type: Short
    identity_value: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    identity_format: Literal["raw", "sha1", "md5", "sha256"] = Field(description="only `raw` can be looked up here")


class OpenDsrRequest(Body):
    """A request of a controller (OpenDSR §7.1.1); members that the specification does not know are passed over."""

    model_config = ConfigDict(extra="ignore", strict=True)

    regulation: Literal["gdpr", "ccpa"]
    subject_request_id: Annotated[str, StringConstraints(min_length=36, max_length=36)] = Field(description="a UUID of version 4")
    subject_request_type: Literal["erasure"] = Field(description="access and portability are not supported: see `discovery`")
    submitted_time: Short = Field(description="RFC 3339: when the person asked the controller")
    subject_identities: list[OpenDsrIdentity] = Field(min_length=1, max_length=20)
    api_version: Short | None = None
    status_callback_urls: list[Annotated[str, StringConstraints(min_length=1, max_length=2048)]] | None = Field(None, max_length=20)
    extensions: dict[str, Any] | None = None


class NewController(Body):
    """An organisation that sends erasure requests by machine."""

    name: Short = Field(description="the organisation; not a person")
    identities: dict[str, Short] = Field(
        min_length=1, description="OpenDSR identity type → type of person here", examples=[{"controller_customer_id": "applicant"}]
    )
    callbacks: list[Annotated[str, StringConstraints(min_length=1, max_length=2048)]] = Field(
        default_factory=list, max_length=20, description="URLs that its requests may name"
    )


class NewOrder(Body):
    """A dataset and all that descends from it is to be erased."""

    dataset: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        None, description="one of its versions; without it all of them"
    )
    ground: Annotated[str, StringConstraints(min_length=1, max_length=1000)] = Field(description="why; it names no person")
    reference: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./:_,()-]{0,199}$")] = Field(
        description="number of the order", examples=["C-4743"]
    )
    due: Time = Field(description="by when it has to be carried out; still to come")
    models: Literal["retrain", "retire"] = Field(
        "retrain", description="of models in service: trained again where rows are left to train on, else retired; or all retired"
    )
    dry_run: bool = Field(False, description="only the plan; nothing is entered")


class AnswerTask(Body):
    """The owner of something elsewhere answers."""

    answer: Literal["done", "cannot"]
    evidence: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")] | None = Field(
        None, description="digest of what shows it; needed for `done`"
    )
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = Field(
        None, description="needed for `cannot`; it names no person"
    )


class NewBackup(Body):
    """A backup that was made, as its manifest describes it."""

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    made_at: Annotated[int, Field(ge=0, lt=2**62), BeforeValidator(whole)] = Field(description="UTC nanoseconds")
    until: Annotated[int, Field(ge=0, lt=2**62), BeforeValidator(whole)] = Field(description="when it is to be deleted, UTC nanoseconds")
    size: Annotated[int, Field(ge=0, lt=2**62), BeforeValidator(whole)] = Field(description="entries of the ledger in it")
    root: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(description="root of its tree")
    bytes: Annotated[int, Field(ge=0, lt=2**62), BeforeValidator(whole)]


class NewRedaction(Body):
    """What is taken out of events that carry what must not be kept."""

    entries: list[Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(whole)]] = Field(
        min_length=1, max_length=1000, description="indexes of ledger entries of kind `openlineage`"
    )
    fields: list[Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^/")]] = Field(
        default_factory=list, max_length=100, description="JSON pointers (RFC 6901) to values, for example `/job/facets/sql/query`"
    )
    text: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = Field(
        None, description="a text that is replaced wherever it stands in these events; it is not kept and not logged"
    )
    instead: Short | None = Field(None, description="what takes the place; without it `***`, which no namespace, name or run id may become")
    reason: Short = Field(description="why, for the ledger; name no person")


class NewReproduction(Body):
    """The version to be reproduced elsewhere."""

    model: Name
    version: Version


MODELS: dict[str, type[Body]] = {
    model.__name__: model
    for model in (
        NewDataset,
        NewTraining,
        NewDeployment,
        Rollback,
        DataSubject,
        Contact,
        NewErasure,
        Challenge,
        Verify,
        Lift,
        ApproveLift,
        Retained,
        Approve,
        Refuse,
        Acknowledge,
        HoldAssets,
        ReleaseAssets,
        Extend,
        Withdraw,
        Decide,
        NewIncident,
        CloseIncident,
        NewReport,
        NewKey,
        NewWebhook,
        OpenDsrRequest,
        NewController,
        NewRecipient,
        AcknowledgeNotice,
        ExcuseNotice,
        AnswerTask,
        NewOrder,
        NewBackup,
        NewRedaction,
        NewReproduction,
    )
}


def model_named(name: str) -> type[Body]:
    """The body model of a route; ``KeyError`` for a name that no model has."""
    return MODELS[name]


def checked(name: str, value: object) -> dict[str, Any]:
    """The value as the model ``name`` reads it, with only the keys that were sent.

    Raises:
        InvalidBody: names every field that is missing, unknown or of a wrong type; never what it held.
    """
    model = MODELS[name]
    try:
        return model.model_validate(value).model_dump(exclude_unset=True)
    except ValidationError as error:
        fields = []
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            where = ".".join(_shown(part) for part in fault["loc"]) or "body"
            reason = {"missing": "is required", "extra_forbidden": "is not a known field"}.get(fault["type"], fault["msg"])
            fields.append({"field": where, "reason": reason})
        known = ", ".join(model.model_fields)
        raise InvalidBody(fields, hint=f"this body has the fields: {known}") from None


def _shown(part: int | str) -> str:
    """A part of a place in a body; what was sent as a field's name and is no plain word is not repeated: it may be a person's."""
    return str(part) if isinstance(part, int) or _WORD.fullmatch(part) else "(a name that is no plain word)"
