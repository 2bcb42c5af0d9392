"""The audits on models whose right answers are known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from audits.catalog import METRICS
from audits.model import AuditRequest, Production, RegressionCases, Verdict, finding_digest, finding_from_json, finding_to_json
from audits.robustness import evasion
from audits.run import AUDITS, run_audits
from audits.subject import AuditError, Scores, feature_groups, scores
from audits.tied import find_ties
from lineage.errors import BadInput, GovernError

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")  # ART, SHAP and numba warn about their own dependencies while they are imported


class Linear:
    """margin = w . (age, amount, sex is female, sex is male) + b, as two logits."""

    classes = ("bad", "good")
    label = "credit"
    features = ("age", "amount", "sex")

    def __init__(self, weights, bias=0.0):
        self.weights = np.array(weights, dtype=np.float64)
        self.module = torch.nn.Linear(4, 2)
        with torch.no_grad():
            self.module.weight.copy_(torch.tensor([[-w / 2 for w in weights], [w / 2 for w in weights]]))
            self.module.bias.copy_(torch.tensor([-bias / 2, bias / 2]))
        self.module.eval()
        self.bias = bias
        self.groups = {"age": (0,), "amount": (1,), "sex": (2, 3)}

    def encode(self, table):
        sex = table["sex"].to_pylist()
        columns = [table["age"].to_numpy(), table["amount"].to_numpy(), [s == "female" for s in sex], [s == "male" for s in sex]]
        return torch.tensor(np.stack([np.asarray(c, dtype=np.float32) for c in columns], axis=1)), None


def people(n=400, seed=0, **columns):
    rng = np.random.default_rng(seed)
    table = {"age": rng.normal(size=n), "amount": rng.normal(size=n), "sex": rng.choice(["female", "male"], size=n, p=[0.4, 0.6])}
    table["credit"] = np.where(table["age"] + table["amount"] + 0.3 * rng.normal(size=n) > 0, "good", "bad")
    return pa.table({**table, **columns})


REFERENCE = people(200, seed=9, age=np.linspace(-30, 30, 200), amount=np.linspace(-30, 30, 200))
"""Training rows with a wide range, so that no attack meets the edge of the data."""
CONFIG = {
    "perf.noninferior": {"favourable": "good"},
    "fair.rates": {"favourable": "good", "protected": {"sex": {}, "age": {"bins": [-1.0, 1.0]}}, "min_group": 20},
    "robust.evasion": {"eps": [0.01, 0.03], "immutable": ["sex"]},
    "explain.additive": {"favourable": "good", "rows": 40, "background": 20, "protected": ["sex"]},
}


def ask(test, config=CONFIG, train=None, **more):
    tables = {"test": test, **({"train": train} if train is not None else {})}
    return AuditRequest(
        model="m", version="1", model_digest="sha256:0", artifact="", snapshot="", spec={}, tables=tables, config=config, **more
    )


def one(audit, model, test, config=None, production=None, **more):
    (found,) = [
        f
        for f in run_audits(ask(test, {audit: {**CONFIG.get(audit, {}), **(config or {})}}, **more), model, production)
        if f.audit == audit
    ]
    return found


def value(finding, name, group=None):
    (found,) = [m for m in finding.metrics if m.name == name and m.group == group]
    return found


# ── performance ─────────────────────────────────────────────────────────────────────────────────
def test_accuracy_and_its_bound_are_those_of_the_counts():
    test = people(100)
    model = Linear([1, 1, 0, 0])
    right = int((scores(model, test).predicted == (np.array(test["credit"].to_pylist()) == "good")).sum())
    found = value(one("perf.noninferior", model, test), "accuracy")
    z, p, n = 1.959963984540054, right / 100, 100
    centre, half = (p + z * z / (2 * n)) / (1 + z * z / n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert (found.value, found.low, found.high) == pytest.approx((p, centre - half, centre + half), abs=1e-6)


def test_a_candidate_is_compared_with_production_row_by_row():
    test = people(300)
    model, worse = Linear([1, 1, 0, 0]), Linear([1, -1, 0, 0])
    need = {"require": [{"metric": "accuracy_difference", "op": ">=", "threshold": -0.05}]}
    assert one("perf.noninferior", model, test, need, production=scores(worse, test)).verdict is Verdict.PASS
    same = one("perf.noninferior", model, test, need, production=scores(model, test))
    assert value(same, "accuracy_difference").value == 0
    assert value(same, "auc_difference").value == 0
    refused = one("perf.noninferior", worse, test, need, production=scores(model, test))
    assert refused.verdict is Verdict.FAIL
    assert "accuracy difference is -0." in refused.reasons[0]


def test_without_production_the_difference_is_not_applicable_and_the_floor_decides():
    found = one(
        "perf.noninferior",
        Linear([1, 1, 0, 0]),
        people(),
        {"require": [{"metric": "accuracy", "op": ">=", "threshold": 0.5, "bound": "low"}]},
    )
    assert found.verdict is Verdict.PASS
    assert value(found, "accuracy_difference").applicable is False


def test_production_that_could_not_be_asked_is_an_error_and_not_a_floor():
    model, test = Linear([1, 1, 0, 0]), people(50)
    for production in (GovernError("it crashed"), Scores(logits=np.zeros((3, 2)), predicted=np.zeros(3, dtype=np.int64))):
        assert one("perf.noninferior", model, test, production=production).verdict is Verdict.ERROR
    silent = ask(test, {"perf.noninferior": {}}, production=Production(version="0", artifact="", snapshot=""))
    assert run_audits(silent, model, None)[0].verdict is Verdict.ERROR


# ── fairness ────────────────────────────────────────────────────────────────────────────────────
def test_a_model_that_uses_only_sex_is_told_from_one_that_ignores_it():
    test = people(400)
    gross = {"require": [{"metric": "selection_rate_difference", "group": "sex", "op": "<=", "threshold": 0.25, "bound": "low"}]}
    only_sex, ignores = one("fair.rates", Linear([0, 0, -1, 1]), test, gross), one("fair.rates", Linear([1, 1, 0, 0]), test, gross)
    assert value(only_sex, "selection_rate_difference", "sex").value == 1.0
    assert only_sex.verdict is Verdict.FAIL
    assert ignores.verdict is Verdict.PASS


def test_rates_are_those_of_the_table():
    test = pa.table(
        {
            "age": [1.0] * 60 + [-1.0] * 40,
            "amount": [0.0] * 100,
            "sex": ["female"] * 30 + ["male"] * 70,
            "credit": ["good"] * 50 + ["bad"] * 50,
        }
    )
    # chosen: the first 60. women 30 of 30, men 30 of 70; right among good: women 30/30, men 20/20; chosen among bad: men 10 of 50
    found = one("fair.rates", Linear([1, 0, 0, 0]), test, {"protected": {"sex": {}}})
    assert value(found, "selection_rate", "sex=male").value == pytest.approx(30 / 70, abs=1e-6)
    assert value(found, "false_positive_rate", "sex=male").value == pytest.approx(0.2)
    assert value(found, "true_positive_rate", "sex=female").value == 1.0
    assert value(found, "error_rate_difference", "sex").value == pytest.approx(10 / 70, abs=1e-6)
    # no woman of the table is a bad credit: their false positive rate cannot be known
    assert value(found, "false_positive_rate", "sex=female").value is None
    assert value(found, "equalized_odds_difference", "sex").value is None


def test_a_tiny_group_is_inconclusive_and_its_cells_are_suppressed():
    test = people(100, sex=["female"] * 5 + ["male"] * 95)
    need = {"protected": {"sex": {}}, "require": [{"metric": "selection_rate_difference", "op": "<=", "threshold": 0.9, "bound": "low"}]}
    found = one("fair.rates", Linear([1, 1, 0, 0]), test, need)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "too small: female" in found.reasons[0]
    assert value(found, "selection_rate", "sex=female").value is None
    row = next(r for r in found.tables["groups"]["rows"] if r[1] == "female")
    assert row[2] == "<10"
    assert all("suppressed" in str(cell) for cell in row[3:])


def test_several_groups_take_the_largest_difference_with_a_wider_interval():
    found = one("fair.rates", Linear([1, 1, 0, 0]), people(400))
    metric = value(found, "selection_rate_difference", "age")
    assert "bonferroni over 3 pairs" in metric.method
    assert metric.low <= metric.value <= metric.high


@pytest.mark.parametrize("protected", [{}, {"income": {}}, {"sex": {"bins": [1.0]}}])
def test_what_cannot_be_compared_is_an_error(protected):
    assert one("fair.rates", Linear([1, 1, 0, 0]), people(50), {"protected": protected}).verdict is Verdict.ERROR


# ── robustness ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("eps", [0.01, 0.03, 0.1])
def test_a_linear_model_is_turned_exactly_within_its_analytical_radius(eps):
    test, weights = people(300), [1.0, 2.0, 0.5, -0.5]
    model = Linear(weights, bias=0.1)
    x = model.encode(test)[0].numpy().astype(np.float64)
    sd = model.encode(REFERENCE)[0].numpy().astype(np.float64).std(axis=0)
    sign = np.where(np.array(test["credit"].to_pylist()) == "good", 1, -1)
    signed = sign * (x @ np.array(weights) + 0.1)
    # the worst step moves every free column against the label: sum |w_j| * eps * sd_j (sex is fixed)
    reach = eps * (abs(weights[0]) * sd[0] + abs(weights[1]) * sd[1])
    assert np.abs(signed - reach).min() > 1e-5  # no row on the edge, where rounding would decide
    found = one("robust.evasion", model, test, {"eps": [eps]}, train=REFERENCE)
    assert value(found, "robust_accuracy", f"eps={eps:g}").value == pytest.approx(float((signed > reach).mean()), abs=1e-6)
    assert value(found, "evasion_success", f"eps={eps:g}").value == pytest.approx(1 - (signed > reach).sum() / (signed > 0).sum(), abs=1e-6)
    assert found.verdict is Verdict.NOT_APPLICABLE  # nothing was required of it


def test_immutable_features_are_not_moved():
    model, test = Linear([5.0, 0.0, 0.0, 0.0]), people(200)
    held = one("robust.evasion", model, test, {"eps": [1.0], "immutable": ["sex", "age"]}, train=REFERENCE)
    free = one("robust.evasion", model, test, {"eps": [1.0], "immutable": ["sex"]}, train=REFERENCE)
    assert value(held, "evasion_success", "eps=1").value == 0
    assert value(free, "evasion_success", "eps=1").value > 0.9


def test_a_column_that_is_constant_in_the_data_is_not_moved_and_hides_no_attack():
    everybody_male = {"sex": ["male"] * 200}
    model, test, train = Linear([5.0, 0.0, 90.0, 0.0]), people(200, **everybody_male), people(200, seed=9, **everybody_male)
    found = one("robust.evasion", model, test, {"eps": [1.0], "immutable": []}, train=train)
    assert found.verdict is not Verdict.ERROR, found.reasons
    assert 0.5 < value(found, "evasion_success", "eps=1").value < 1, "by age, not by becoming a woman"


def test_nothing_to_attack_is_unknown_and_not_robust():
    need = {"immutable": ["sex", "age", "amount"], "require": [{"metric": "robust_accuracy", "op": ">=", "threshold": 0.0, "bound": "low"}]}
    assert one("robust.evasion", Linear([1, 1, 0, 0]), people(50), need).verdict is Verdict.INCONCLUSIVE


def test_masked_gradients_cannot_pass():
    class Quantised(torch.nn.Module):
        def forward(self, x):
            margin = torch.round(x[:, 0] + x[:, 1])
            return torch.stack([-margin, margin - 0.1], dim=1)

    model = Linear([1, 1, 0, 0])
    model.module = Quantised().eval()
    need = {"require": [{"metric": "evasion_success", "group": "eps=0.03", "op": "<=", "threshold": 1.0, "bound": "low"}]}
    found = one("robust.evasion", model, people(200), need, train=REFERENCE)
    assert value(found, "zero_gradient_share").value == 1.0
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "masked" in found.reasons[0]


# ── explanations ────────────────────────────────────────────────────────────────────────────────
def test_shap_and_captum_give_the_shapley_values_of_a_linear_model():
    from audits.explanation import centroids, integrated_gradients, margin_module, shap_values

    model, test = Linear([1.0, -2.0, 0.5, 0.0], bias=0.3), people(200)
    x = model.encode(test)[0]
    module = margin_module(model, 1)
    with torch.no_grad():
        background = centroids(x, module(x).double().numpy()[:, 0], 20)
    assert len(background) == 20
    # phi_j = w_j (x_j - mean_j), Lundberg and Lee 2017, corollary 1
    expected = model.weights * (x.double().numpy() - background.double().numpy().mean(axis=0))
    deep, said = shap_values(module, x[:30], background, 0.01, 0)
    assert said == ""
    assert np.abs(deep.values - expected[:30]).max() < 1e-4
    ig, _ = integrated_gradients(module, x[:30], background, 0.01, 64)
    assert np.abs(ig.values - expected[:30]).max() < 1e-4


def test_the_explainers_agree_on_a_linear_model_and_name_its_largest_feature():
    need = {"require": [{"metric": "additivity_residual", "op": "<=", "threshold": 1e-3, "bound": "value"}]}
    found = one("explain.additive", Linear([1.0, -3.0, 0.0, 0.0]), people(200), need)
    assert found.verdict is Verdict.PASS
    assert value(found, "sign_agreement").value == 1.0
    assert found.tables["importances"]["rows"][0][0] == "amount"
    assert value(found, "protected_share").value == 0.0


def test_a_model_of_sex_alone_explains_by_sex_alone():
    found = one("explain.additive", Linear([0.0, 0.0, 2.0, -2.0]), people(200))
    assert value(found, "protected_share").value == pytest.approx(1.0)


def test_a_network_that_deepexplainer_cannot_take_is_explained_otherwise_and_said():
    class Functional(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = torch.nn.Linear(4, 8), torch.nn.Linear(8, 2)

        def forward(self, x):
            return self.b(torch.relu(self.a(x)) * torch.sigmoid(self.a(x)))

    model = Linear([1, 1, 0, 0])
    model.module = Functional().eval()
    found = one("explain.additive", model, people(100), {"rows": 10})
    assert "kernel explainer was used" in found.reasons[0]
    assert "KernelExplainer" in found.library
    assert value(found, "additivity_residual", "shap").value <= 0.01
    assert value(found, "additivity_residual", "captum").value <= 0.01


def test_no_row_of_a_person_is_in_the_background():
    found = one("explain.additive", Linear([1, 1, 0, 0]), people(15))
    assert "1 means of at least 10" in found.assumptions[0]
    assert one("explain.additive", Linear([1, 1, 0, 0]), people(9)).verdict is Verdict.ERROR


# ── regression cases ────────────────────────────────────────────────────────────────────────────
def test_regression_cases_fail_by_id_and_without_a_case_nothing_fails():
    row = pa.table({"age": [4.5], "amount": [0.0], "sex": ["male"]})
    cases = RegressionCases(ids=("case-1",), table=row, expected=("bad",))
    (found,) = run_audits(ask(people(20), {}, cases=cases), Linear([1, 1, 0, 0]))
    assert found.verdict is Verdict.FAIL
    assert "case-1" in found.reasons[0]
    assert "4.5" not in str(finding_to_json(found))
    (fine,) = run_audits(ask(people(20), {}, cases=cases), Linear([-1, 1, 0, 0]))
    assert fine.verdict is Verdict.PASS
    (none,) = run_audits(ask(people(20), {}), Linear([1, 1, 0, 0]))
    assert none.verdict is Verdict.PASS
    assert value(none, "cases").value == 0
    with pytest.raises(BadInput, match="2 regression cases"):
        RegressionCases(ids=("a", "b"), table=row, expected=("bad",))


# ── whatever happens ────────────────────────────────────────────────────────────────────────────
def test_a_model_of_nan_is_an_error_everywhere():
    model = Linear([math.nan, 1, 0, 0])
    found = run_audits(ask(people(50)), model)
    assert [f.audit for f in found] == list(AUDITS)
    assert [f.verdict for f in found[:4]] == [Verdict.ERROR] * 4
    assert all("not finite" in f.reasons[0] for f in found[:4])


def test_user_code_that_raises_is_an_error_without_its_values():
    model = Linear([1, 1, 0, 0])

    def encode(table):
        raise ValueError(f"secret {table['age'][0]}")

    model.encode = encode
    found = run_audits(ask(people(50)), model)
    assert all(f.verdict is Verdict.ERROR for f in found[:4])
    assert "secret" not in str([finding_to_json(f) for f in found])
    assert found[0].reasons[0].startswith("the audit ended with ValueError at test_audits_measures.py:")


@pytest.mark.parametrize("wrong", ["rows", "nan", "label", "empty"])
def test_tables_that_do_not_fit_are_errors(wrong):
    model, test = Linear([1, 1, 0, 0]), people(50)
    if wrong == "rows":
        model.encode = lambda table: (torch.zeros(table.num_rows - 1, 4), None)
    elif wrong == "nan":
        model.encode = lambda table: (torch.full((table.num_rows, 4), math.nan), None)
    elif wrong == "label":
        test = people(50, credit=["perhaps"] * 50)
    else:
        test = test.slice(0, 0)
    found = run_audits(ask(test), model)
    assert all(f.verdict is Verdict.ERROR for f in found[:3])


def test_an_unknown_audit_is_an_error():
    assert one("perf.speed", Linear([1, 1, 0, 0]), people(20)).verdict is Verdict.ERROR


def test_the_catalog_names_every_metric_and_no_other():
    model, test = Linear([1, 1, 0.1, 0]), people(200)
    request = ask(test, train=REFERENCE)
    found = run_audits(request, model)
    assert {f.audit: sorted({m.name for m in f.metrics}) for f in found} == {a: sorted(m) for a, m in METRICS.items()}


def test_the_same_question_has_the_same_digest_and_survives_json():
    model, test = Linear([1, 1, 0.1, 0]), people(100)
    first, second = run_audits(ask(test, seed=3), model), run_audits(ask(test, seed=3), model)
    assert [finding_digest(f) for f in first] == [finding_digest(f) for f in second]
    for finding in first:
        assert finding.library
        assert finding_digest(finding_from_json(finding_to_json(finding))) == finding_digest(finding)
    other = run_audits(ask(test, {**CONFIG, "fair.rates": {**CONFIG["fair.rates"], "min_group": 21}}, seed=3), model)
    assert finding_digest(other[1]) != finding_digest(first[1])
    with pytest.raises(BadInput, match="not a finding"):
        finding_from_json({**finding_to_json(first[0]), "verdict": "FINE"})


def test_feature_groups_are_measured():
    model, test = Linear([1, 1, 0, 0]), people(60)
    assert feature_groups(model, test) == {"age": (0,), "amount": (1,), "sex": (2, 3)}


def test_one_output_for_two_classes_is_the_logit_of_the_second():
    model, test = Linear([1, 1, 0, 0]), people(60)
    single = Linear([1, 1, 0, 0])
    single.module = torch.nn.Linear(4, 1)
    with torch.no_grad():
        single.module.weight.copy_(torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
        single.module.bias.zero_()
    assert (scores(single, test).predicted == scores(model, test).predicted).all()
    single.module = torch.nn.Linear(4, 3)
    with pytest.raises(AuditError, match="3 outputs for 2 classes"):
        scores(single, test)


class Twice(Linear):
    """The same model, its numbers told twice: as they are, and shifted and scaled as another constituent's state would."""

    def __init__(self, weights, *, tied):
        super().__init__(weights)
        one, two = torch.nn.Linear(4, 2), self.module
        one.load_state_dict(two.state_dict())

        class Mean(torch.nn.Module):
            def forward(self, x):
                other = torch.stack([x[:, 4] / 3 - 2, (x[:, 5] + 1) * 2, x[:, 6], x[:, 7]], dim=1)
                return (one(x[:, :4]) + two(other)) / 2

        self.module = Mean().eval()
        self.groups = {"age": (0, 4), "amount": (1, 5), "sex": (2, 3, 6, 7)} if tied else {"age": (0,), "amount": (1,), "sex": (2, 3)}

    def encode(self, table):
        x, y = super().encode(table)
        return torch.cat([x, torch.stack([(x[:, 0] + 2) * 3, x[:, 1] / 2 - 1, x[:, 2], x[:, 3]], dim=1)], dim=1), y


def test_a_number_that_is_told_several_times_is_attacked_as_one():
    """Each constituent of a sharded model encodes the row with its own scale; the attack must be the one on the model told once."""
    tables = {"test": people(), "train": REFERENCE}
    config = CONFIG["robust.evasion"]
    once = evasion(Linear([1.0, 2.0, 0.3, -0.3]), tables, config)
    twice = evasion(Twice([1.0, 2.0, 0.3, -0.3], tied=True), tables, config)
    assert {(one.name, one.group): one.value for one in twice.metrics} == {(one.name, one.group): one.value for one in once.metrics}
    assert once.tables["attacks"] == twice.tables["attacks"]
    half = evasion(Twice([1.0, 2.0, 0.3, -0.3], tied=False), tables, config)
    success = [{(one.name, one.group): one.value for one in found.metrics}["evasion_success", "eps=0.03"] for found in (once, half)]
    assert success[1] < success[0], "moving one telling and not the other is another attack, and a weaker one"


def test_columns_follow_only_what_they_are_the_image_of():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=100), rng.normal(size=100)
    reference = np.stack([a, b, -2 * a + 1, a**2, a > 0, a], axis=1).astype(np.float32)
    ties = find_ties(reference, {"a": (0, 2, 3, 4), "b": (1,), "both": (5,), "again": (5,)})
    assert ties.leader.tolist() == [0, 1, 0, 3, 4, 5]
    assert ties.leaders.tolist() == [0, 1, 3, 4, 5]
    assert (ties.factor[2], ties.offset[2]) == (pytest.approx(-2), pytest.approx(1))
