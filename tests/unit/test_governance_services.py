"""Incidents, datasets, traces, papers and tensors: what each refuses, keeps and tells."""

from __future__ import annotations

import hashlib
import importlib
import json

import pyarrow as pa
import pytest

from governance.registry.papers import Papers
from governance.serving.tensors import table_of
from lineage.adapters.file_keys import FileKeyStore
from lineage.errors import BadInput, Conflict, Gone, NotFound, Tampered
from tests.support.core import Core, assets, opened


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("credit.train", list(range(6)))
        yield core


@pytest.fixture
def live(core: Core) -> Core:
    core.train()
    core.release()
    return core


# ── incidents ───────────────────────────────────────────────────────────────────────────────────
def test_an_incident_holds_what_made_the_prediction_until_it_is_closed(live: Core) -> None:
    live.predict("p", 3)
    opened_ = live.incidents.open({"prediction": "p", "summary": "refused", "expect": "bad"}, actor="key:e")
    assert set(opened_["holds"]) == {"model:m@1", "prediction:p"}
    case = live.ledger.record("case", opened_["case"])[0]
    assert (case["expect"], case["void"]) == ("bad", None)
    done = live.erase(3)
    assert set(done["incomplete"]) == {"model:m@1", "predictions", f"case:{case['id']}"}
    closed = live.incidents.close(opened_["id"], {"reason": "explained"}, actor="key:e")
    assert closed["resumed"] == [done["id"]]
    assert live.incidents.close(opened_["id"], {}, actor="key:e")["resumed"] == []
    live.engine.run()
    request = live.erasures.get(done["id"])
    assert request["state"] == "completed", request
    assert assets(request)[f"case:{case['id']}"]["status"] == "done"
    assert live.ledger.record("case", case["id"])[0]["void"] == done["id"], "a regression case is an asset of its subject"
    assert all(hold["released_at"] for hold in live.incidents.holds()["holds"])
    trace = live.incidents.get(opened_["id"])["trace"]
    assert trace["prediction"]["erased_by"] == done["id"], "what is erased is still traced by its receipt"
    assert trace["model"]["version"] == 1


def test_what_an_incident_refuses(live: Core) -> None:
    live.predict("p", 3)
    for body, said in (
        ({"prediction": "p"}, "needs a summary"),
        ({"prediction": "p", "summary": "s", "expect": "ugly"}, "one of the model's labels bad, good"),
    ):
        with pytest.raises(BadInput, match=said):
            live.incidents.open(body, actor="key:e")
    with pytest.raises(NotFound):
        live.incidents.open({"prediction": "nothing", "summary": "s"}, actor="key:e")
    assert live.incidents.holds() == {"holds": []}


def test_the_same_idempotency_key_is_the_same_incident(live: Core) -> None:
    live.predict("p", 3)
    live.predict("q", 3)
    body = {"prediction": "p", "summary": "s"}
    first = live.incidents.open(body, actor="key:e", idempotency="k")
    assert live.incidents.open(body, actor="key:e", idempotency="k")["id"] == first["id"]
    assert len(live.incidents.list()["incidents"]) == 1
    with pytest.raises(Conflict):
        live.incidents.open(body | {"prediction": "q"}, actor="key:e", idempotency="k")


# ── datasets ────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("path", ["../keys/master.key", "/etc/passwd", "a/../../ledger.db", "link"])
def test_a_landing_path_may_not_leave_the_folder(core: Core, path: str) -> None:
    (core.root / "landing" / "link").symlink_to(core.root / "ledger.db")
    with pytest.raises(BadInput, match="is not in the landing folder"):
        core.datasets.register({"name": "raw", "kind": "lines", "path": path}, actor="key:e")


def test_registering_again_otherwise_is_a_conflict(core: Core) -> None:
    same = {"name": "credit.train", "kind": "lance", "subject_key": "person", "subject_type": "applicant"}
    assert core.datasets.register(same, actor="key:e")["versions"] == 1
    with pytest.raises(Conflict, match="registered otherwise"):
        core.datasets.register(same | {"subject_key": "age"}, actor="key:e")
    for wrong in ({"name": "../x"}, {"name": "x", "kind": "csv"}, {"name": "x", "kind": "lines"}):
        with pytest.raises(BadInput):
            core.datasets.register(wrong, actor="key:e")


def test_a_lines_dataset_follows_its_file(core: Core) -> None:
    path = core.root / "landing" / "raw.txt"
    path.write_text("one\n")
    core.datasets.register({"name": "raw", "kind": "lines", "path": "raw.txt"}, actor="key:e")
    assert [info["rows"] for info in core.datasets.versions("raw")["versions"]] == [1]
    path.write_text("one\ntwo\n")
    assert core.datasets.named_in([b'{"name":"other"}', b'{"name":"raw"}']) == ("raw",)
    core.datasets.refresh("raw")
    assert core.datasets.version("raw", "latest").rows == 2
    with pytest.raises(BadInput, match="is a landing file"):
        core.datasets.write("raw", pa.table({"line": ["x"]}), mode="append", key=None, actor="key:e")


def test_facets_pin_the_version_and_a_purge_forgets_the_person(core: Core) -> None:
    made = core.people("credit.train", list(range(7)))
    facets = made["openlineage"]["facets"]
    assert facets["version"]["datasetVersion"] == made["version"]
    assert facets["govern_rowSet"]["digest"] == made["row_set"]["digest"]
    rows = core.located(3)["credit.train"]
    held = core.datasets.commitments(made["row_set"]["digest"])
    report = core.datasets.purge("credit.train", rows, request="r")
    assert core.located(3) == {}
    assert core.datasets.residual("credit.train", rows)[0] == 0
    assert core.datasets.commitments(made["row_set"]["digest"]) == held, "what a version committed to stays provable"
    assert core.datasets.commitment("credit.train", rows[0]) not in core.datasets.commitments(report.new_version.row_set.digest)


def test_a_table_without_the_subject_key_is_refused(core: Core) -> None:
    with pytest.raises(BadInput, match="subject key column 'person' is missing"):
        core.datasets.write("credit.train", pa.table({"age": [1.0]}), mode="replace", key=None, actor="key:e")
    core.datasets.register({"name": "new", "kind": "delta", "subject_key": "person"}, actor="key:e")
    with pytest.raises(BadInput, match="Arrow IPC stream"):
        core.datasets.write("new", None, mode="replace", key=None, actor="key:e")
    with pytest.raises(BadInput, match="one of lance, delta, parquet, lines, csv"):
        core.datasets.register({"name": "other", "kind": "iceberg", "subject_key": None}, actor="key:e")


# ── traces ──────────────────────────────────────────────────────────────────────────────────────
def test_a_trace_is_recounted_and_answers_as_of_a_day(live: Core) -> None:
    answer = live.answers.trace(model="m@production")
    assert (answer["subject"]["ref"], answer["source_rows"]) == ("m@1", 6)
    assert answer["datasets"][0]["recounted"] == 6
    assert answer["decision"]["outcome"] == "pass"
    assert live.answers.trace(run=answer["run"]["run_id"])["model"]["version"] == 1
    live.ingestor.wait(10)
    assert live.answers.trace(namespace="govern://test", name="credit.train", direction="down")["subject"]["kind"] == "dataset"
    assert live.answers.trace(model="m", as_of=1)["datasets"] == [], "there was nothing then"


def test_a_dataset_is_traced_by_any_of_its_names_in_any_harmless_spelling(live: Core) -> None:
    link = {"identifiers": [{"namespace": "hive://warehouse", "name": "shop.orders", "type": "TABLE"}]}
    written = {"namespace": "s3://Lake", "name": "/orders/", "facets": {"symlinks": link, "version": {"datasetVersion": "7"}}}
    event = {"eventType": "COMPLETE", "run": {"runId": "r"}, "job": {"namespace": "n", "name": "j"}, "outputs": [written]}
    live.ingestor.accept(json.dumps(event).encode(), actor="key:i")
    live.ingestor.wait(10)
    for namespace, name in (("hive://warehouse", "shop.orders"), ("s3://lake", "orders"), ("s3a://Lake/", "/orders")):
        answer = live.answers.trace(namespace=namespace, name=name)
        assert answer["subject"]["ref"] == "hive://warehouse shop.orders"
        assert [(one["dataset"], one["version"]) for one in answer["datasets"]] == [("shop.orders", "7")]
    with pytest.raises(NotFound, match="no dataset 'orders' is known in hive://warehouse"):
        live.answers.trace(namespace="hive://warehouse", name="orders")


def test_what_cannot_be_traced_says_what_can(live: Core) -> None:
    with pytest.raises(BadInput, match="trace one thing"):
        live.answers.trace()
    with pytest.raises(BadInput, match="trace one thing"):
        live.answers.trace(model="m", run="r")
    with pytest.raises(NotFound) as far:
        live.answers.trace(model="zzz")
    assert far.value.hint == "`govern models` lists what there is; e.g. `govern trace m`"
    with pytest.raises(NotFound) as near:
        live.answers.trace(name="credit.trian")
    assert "credit.train" in near.value.hint
    for unknown in ({"run": "0190a000-0000-7000-8000-000000000001"}, {"prediction": "nothing"}):
        with pytest.raises(NotFound):
            live.answers.trace(**unknown)


def test_an_erased_prediction_is_traced_by_its_receipt(live: Core) -> None:
    live.predict("p", 3)
    assert live.answers.trace(prediction="p")["prediction"]["subject_known"] is True
    live.predictions.forget(["p"], request="r-1")
    told = live.answers.trace(prediction="p")["prediction"]
    assert (told["subject_known"], told["erased_by"], told["version"]) == (False, "r-1", "1")
    with pytest.raises(Gone):
        live.predictions.get("p")


# ── papers ──────────────────────────────────────────────────────────────────────────────────────
def opened_papers(live: Core, tmp_path) -> Papers:
    from governance.dossier import model_trace
    from reports.evidence import Signers

    keys = FileKeyStore.create(tmp_path / "keys", name="Test", clock=live.clock)
    (tmp_path / "papers").mkdir(exist_ok=True)

    def signers() -> Signers:
        return Signers(
            pdf_key_pem=keys.secret("pdf"),
            pdf_certificate_pem=keys.certificate("pdf"),
            sign_evidence=lambda message: keys.sign_ed25519("evidence", message),
            evidence_public=keys.public_ed25519("evidence"),
        )

    def compiled(subject: str):
        return model_trace(live.answers.trace(model=subject), now=live.clock.now(), installation="test", generator="test")

    return Papers(
        live.ledger,
        live.clock,
        tmp_path / "papers",
        signers,
        lambda: live.keys.public_ed25519("checkpoint"),
        compilers={"model-trace": compiled},
    )


def test_a_paper_is_made_once_per_key_and_checked_when_it_is_read(live: Core, tmp_path) -> None:
    papers = opened_papers(live, tmp_path)
    body = {"kind": "model-trace", "subject": "m"}
    first = papers.create(body, actor="key:e", idempotency="k")
    assert papers.create(body, actor="key:e", idempotency="k") == first
    assert len(papers.list()["reports"]) == 1
    assert live.ledger.entry(first["ledger_index"]).kind == "govern.report.issued"
    with pytest.raises(Conflict, match="another report"):
        papers.create(body | {"subject": "m@1"}, actor="key:e", idempotency="k")
    for wrong in ({"kind": "novel", "subject": "m"}, {"kind": "model-trace"}):
        with pytest.raises(BadInput):
            papers.create(wrong)
    assert papers.pdf(first["id"]).startswith(b"%PDF")
    (path,) = (tmp_path / "papers").iterdir()
    assert path.name == f"{first['id']}.{first['sha256'][:16]}.pdf"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(Tampered, match="not the one whose hash"):
        papers.pdf(first["id"])
    path.unlink()
    with pytest.raises(NotFound, match="is missing"):
        papers.pdf(first["id"])


def test_who_was_taken_for_dead_and_issues_late_harms_no_paper(live: Core, tmp_path, monkeypatch) -> None:
    issuing = importlib.import_module("reports.issue")
    late, other = (opened_papers(live, tmp_path / str(n)) for n in range(2))
    other._folder = late._folder  # two processes with one home
    issue, body, won = issuing.issue, {"kind": "model-trace", "subject": "m"}, []

    def overtaken(*args, **options):
        pdf = issue(*args, **options)
        monkeypatch.undo()
        won.append(other.create(body, actor="key:e", idempotency="k"))
        return pdf

    monkeypatch.setattr(issuing, "issue", overtaken)
    assert late.create(body, actor="key:e", idempotency="k") == won[0]
    assert hashlib.sha256(late.pdf(won[0]["id"])).hexdigest() == won[0]["sha256"]
    assert len(list(late._folder.iterdir())) == 1, "the late one's draft is gone"


# ── tensors ─────────────────────────────────────────────────────────────────────────────────────
def tensors(**columns):
    return {"inputs": [{"name": name, "datatype": kind, "shape": [len(data)], "data": data} for name, (kind, data) in columns.items()]}


def test_tensors_become_rows_in_the_order_of_the_features() -> None:
    table = table_of(tensors(b=("BYTES", ["x", "y"]), a=("FP64", [1.0, 2.5]), extra=("INT64", [1, 2])), ["a", "b"])
    assert table.to_pydict() == {"a": [1.0, 2.5], "b": ["x", "y"]}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (tensors(a=("FP64", [1.0])), "lacks the feature"),
        (tensors(a=("FP64", [1.0]), b=("BYTES", ["SENTINEL", "y"])), "different lengths"),
        (tensors(a=("FP64", ["SENTINEL"]), b=("BYTES", ["x"])), "input 'a' is not 'FP64'"),
        (tensors(a=("INT64", [1.5]), b=("BYTES", ["SENTINEL"])), "input 'a' is not 'INT64'"),
        (tensors(a=("INT64", [2**70]), b=("BYTES", ["SENTINEL"])), "input 'a' is not 'INT64'"),
        (tensors(a=("FP8", [1.0]), b=("BYTES", ["SENTINEL"])), "input 'a' is not 'FP8'"),
    ],
)
def test_a_wrong_tensor_is_named_and_never_quoted(request_, said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        table_of(request_, ["a", "b"])
    assert "SENTINEL" not in refused.value.message + str(refused.value.hint)
