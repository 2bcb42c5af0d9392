"""A training script of your own, governed: scikit-learn, ``openlineage-python`` and ``lineage.emit``; no other part of Govern.

``python train.py`` prepares a table, trains on part of its rows, evaluates on the others, and puts the model into service, telling
each step to whatever ``OPENLINEAGE_URL`` names. ``ROW_SECRET`` keys the row sets, so that nobody can try row numbers against them.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pandas as pd
from openlineage.client import OpenLineageClient
from openlineage.client.uuid import generate_new_uuid
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lineage import emit

PRODUCER = "https://github.com/govern-ml/govern/tree/main/examples/plain_script"
NAMESPACE = "clinic"
TABLE, MODEL = "patients", "tumour-grade"
PARAMETERS = {"C": 0.5, "max_iter": 200, "solver": "lbfgs", "test_size": 0.25}
SEED = 11
FLOOR = 0.9
"""Accuracy below which the model is not put into service."""


def rows(frame: pd.DataFrame) -> emit.RowSet:
    """Which patients these are, for whoever has the secret; for everyone else a digest and a count."""
    secret = os.environ.get("ROW_SECRET", "").encode()
    return emit.row_set(frame["patient"].tolist(), dataset=TABLE, secret=secret, key_columns=["patient"])


def job(name: str, kind: str) -> emit.Job:
    """A job of this script, at exactly the code that runs."""
    return emit.job(NAMESPACE, name, kind, code=emit.code_location(__file__))


def prepare(client: OpenLineageClient, path: Path) -> str:
    """Write the table; its version is the digest of its bytes."""
    with emit.telling(client, job("prepare", "JOB"), producer=PRODUCER) as told:
        frame = load_breast_cancer(as_frame=True).frame
        frame.insert(0, "patient", range(1, len(frame) + 1))
        frame.to_csv(path, index=False)
        version = emit.file_version(path)
        columns = {name: str(kind) for name, kind in frame.dtypes.items()}
        told.outputs.append(emit.dataset_output(NAMESPACE, TABLE, version=version, rows=rows(frame), columns=columns))
    return version


def train(client: OpenLineageClient, path: Path, version: str, weights: Path) -> tuple[str, float]:
    """Fit on the training rows; the model's version is the run."""
    frame = pd.read_csv(path)
    learn, check = train_test_split(frame, test_size=PARAMETERS["test_size"], random_state=SEED, stratify=frame["target"])
    read = [
        emit.dataset_input(NAMESPACE, TABLE, version=version, rows=rows(part), role=role)
        for part, role in ((learn, "train"), (check, "test"))
    ]
    facets = {
        "executionParameters": emit.parameters(PARAMETERS),
        "govern_environment": emit.environment(),
        "govern_training": emit.GovernTrainingRunFacet(seed=SEED, entrypoint="train"),
    }
    with emit.telling(client, job("train", "TRAINING"), producer=PRODUCER, inputs=read, facets=facets) as told:
        features = [name for name in frame.columns if name not in ("patient", "target")]
        model = make_pipeline(StandardScaler(), LogisticRegression(C=PARAMETERS["C"], max_iter=PARAMETERS["max_iter"], random_state=SEED))
        model.fit(learn[features], learn["target"])
        accuracy = float(accuracy_score(check["target"], model.predict(check[features])))
        scaler, line = model.named_steps.values()
        kept = {"mean": scaler.mean_, "scale": scaler.scale_, "weights": line.coef_[0], "bias": line.intercept_}
        weights.write_text(json.dumps({name: values.tolist() for name, values in kept.items()}))
        digest = "sha256:" + hashlib.sha256(weights.read_bytes()).hexdigest()
        told.outputs.append(
            emit.model_output(NAMESPACE, MODEL, told.run_id, digest=digest, size=weights.stat().st_size, metrics={"accuracy": accuracy})
        )
    evaluate(client, told.run_id, read[1], accuracy)
    return told.run_id, accuracy


def evaluate(client: OpenLineageClient, version: str, read: emit.InputDataset, accuracy: float) -> None:
    """Say what was measured of the model, on which rows, and whether it was enough."""
    inputs = [emit.model_input(NAMESPACE, MODEL, version), read]
    facets = {"test": emit.evaluation({"accuracy.floor": accuracy >= FLOOR}, kind="sklearn")}
    with emit.telling(client, job("evaluate", "AUDIT"), producer=PRODUCER, inputs=inputs, facets=facets):
        pass


def deploy(client: OpenLineageClient, version: str) -> None:
    """Say that the model serves from now on; the same run id with COMPLETE will say that it ended."""
    client.emit(
        emit.deployment(
            "START", at=time.time_ns(), run_id=str(generate_new_uuid()), namespace=NAMESPACE, name=f"{MODEL}.production",
            model=(NAMESPACE, MODEL, version), producer=PRODUCER,
        )
    )  # fmt: skip


def main() -> None:
    """The four steps."""
    if not os.environ.get("ROW_SECRET"):
        raise SystemExit("set ROW_SECRET to a secret of your own: python -c 'import secrets; print(secrets.token_hex(32))'")
    client = OpenLineageClient()
    table, weights = Path("patients.csv"), Path("weights.json")
    version = prepare(client, table)
    model, accuracy = train(client, table, version, weights)
    print(f"{MODEL}@{model}: accuracy {accuracy:.3f} on rows it was not trained on")
    if accuracy >= FLOOR:
        deploy(client, model)
        print(f"{MODEL}@{model} is in production")
    client.close()


if __name__ == "__main__":
    main()
