"""The objective against a reference in loops; what it masks, weighs and logs; tasks and terms of one's own."""

import doctest
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import trainer.objective
from tests.trainer import reference_objective as reference
from tests.trainer.embedded_batches import CONFIG, TASKS, as_reference, batch_of, put, tangled
from trainer.config import ObjectiveConfig
from trainer.errors import ConfigError
from trainer.objective import (
    OBJECTIVES,
    TERMS,
    EmbeddedBatch,
    Objective,
    TaskRows,
    Term,
    register_task,
    register_term,
)


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks and terms that a test registers end with it."""
    monkeypatch.setattr(trainer.objective, "OBJECTIVES", dict(OBJECTIVES))
    monkeypatch.setattr(trainer.objective, "TERMS", dict(TERMS))


def test_importing_the_objective_does_not_import_transformers() -> None:
    code = "import sys, trainer.objective; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("only_contrastive", [False, True])
@pytest.mark.parametrize("balance", ["tasks", "rows"])
@pytest.mark.parametrize("mixing", ["mixed", "homogeneous"])
@pytest.mark.parametrize("matryoshka", [(), (4, 7)])
@pytest.mark.parametrize("seed", range(3))
def test_loss_equals_the_reference(seed: int, matryoshka, mixing, balance, only_contrastive: bool) -> None:
    batch = tangled(seed)
    weights = {"mse": 3.0, "triplet": 0.5, "infonce": 0.8}
    config = ObjectiveConfig(margin=0.2, multi_turn_margin=0.35, balance=balance, only_contrastive=only_contrastive,
                             weights=weights)  # fmt: skip
    report = Objective(config, matryoshka, mixing)(batch)
    written = as_reference(batch)
    expected = reference.row_losses(
        written, [*matryoshka, 12], temperature=0.07,
        margins={"ocr": 0.2, "vqa_single": 0.2, "vqa_multi": 0.35}, weights=weights,
        homogeneous=mixing == "homogeneous", only_contrastive=only_contrastive,
    )  # fmt: skip
    np.testing.assert_allclose(report.rows, expected, rtol=1e-9, atol=1e-12)
    assert float(report.loss) == pytest.approx(reference.total(written, expected, balance), rel=1e-9)
    for task in set(written.tasks):
        own = [loss for loss, name in zip(expected, written.tasks, strict=True) if name == task]
        assert float(report.metrics[f"{task}/loss"]) == pytest.approx(sum(own) / len(own))
        assert report.metrics[f"{task}/count"] == len(own)


@pytest.mark.parametrize("mixing", ["mixed", "homogeneous"])
def test_cosine_metrics_equal_the_reference(mixing) -> None:
    batch = tangled(1)
    metrics = Objective(CONFIG, mixing=mixing)(batch).metrics
    written = as_reference(batch)
    for task in set(written.tasks):
        cosines, hardest, nearest = [], [], []
        for row in range(len(written.tasks)):
            if written.tasks[row] != task or written.scores[row] == 0:
                continue
            query = written.queries[row]
            others = [query @ vector for vector, _ in reference.candidates(written, row, mixing == "homogeneous")]
            cosines.append(query @ written.positives[row])
            hardest.extend([max(others)] if others else [])
            nearest.append(cosines[-1] > max(others, default=-2.0))
        for name, values in (("positive_cosine", cosines), ("hardest_negative_cosine", hardest), ("accuracy", nearest)):
            if values:
                assert float(metrics[f"{task}/{name}"]) == pytest.approx(float(np.mean(values)))
            else:
                assert f"{task}/{name}" not in metrics


@pytest.mark.parametrize("mixing", ["mixed", "homogeneous"])
def test_gradients(mixing) -> None:
    batch = tangled(2)
    objective = Objective(CONFIG, (5,), mixing)

    def loss(queries: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        return objective(replace(batch, queries=queries, positives=positives, negatives=negatives)).loss

    vectors = [part.clone().requires_grad_() for part in (batch.queries, batch.positives, batch.negatives)]
    assert torch.autograd.gradcheck(loss, vectors)


def test_zeros_give_the_log_of_the_batch_size() -> None:
    batch = batch_of([0, 1, 2, 3, 4, 2], dtype=torch.float32)
    batch = replace(batch, queries=batch.queries * 0, positives=batch.positives * 0)
    report = Objective(CONFIG)(batch)
    extra = {"text_pair": 1.0, "instr": 1.0, "ocr": 0.2, "vqa_single": 0.2, "vqa_multi": 0.35}
    for task, constant in extra.items():
        assert float(report.metrics[f"{task}/infonce"]) == pytest.approx(math.log(6), rel=1e-6)
        assert float(report.metrics[f"{task}/loss"]) == pytest.approx(math.log(6) + constant, rel=1e-6)
        assert float(report.metrics[f"{task}/accuracy"]) == 0.0
    assert float(report.loss) == pytest.approx(5 * math.log(6) + sum(extra.values()), rel=1e-6)


def test_matched_orthogonal_pairs_have_next_to_no_loss() -> None:
    batch, vectors = batch_of([0, 1, 2, 3, 4]), torch.eye(5, 12, dtype=torch.float64)
    report = Objective(CONFIG)(replace(batch, queries=vectors, positives=vectors))
    assert float(report.loss) == pytest.approx(5 * math.log(1 + 4 * math.exp(-1 / 0.07)))
    assert all(float(report.metrics[f"{task}/accuracy"]) == 1.0 for task in TASKS)


# --- false negatives -------------------------------------------------------------------------------------------------

REASONS = {
    "same positive": {"positive_keys": {"_3": 1}},
    "same query": {"query_keys": {"_3": 0}},
    "same group": {"groups": {"_3": 2}},
    "its positive is my query": {"positive_keys": {"_3": 0}},
}


def keyed(batch: EmbeddedBatch, changes: dict[str, dict[str, int]]) -> EmbeddedBatch:
    """Row 3 gets a key or group of row 0: 0 its query's, 1 its positive's, 2 its group."""
    own = [int(batch.query_keys[0]), int(batch.positive_keys[0]), int(batch.groups[0])]
    new = {name: put(getattr(batch, name), **{place: own[what] for place, what in entries.items()})
           for name, entries in changes.items()}  # fmt: skip
    return replace(batch, **new)


@pytest.mark.parametrize("reason", REASONS)
def test_a_false_negative_is_as_if_it_were_not_there(reason: str) -> None:
    batch = batch_of([2, 2, 2, 2])
    found = Objective(CONFIG)(keyed(batch, REASONS[reason])).rows[0]
    three = replace(batch, **{name: part[:3] for name, part in vars(batch).items()
                              if isinstance(part, Tensor) and len(part) == 4})  # fmt: skip
    seen = Objective(CONFIG)(batch).rows[0]
    if reason == "its positive is my query":  # a mask of one direction: row 3's query stays a negative of my positive
        cosines = batch.queries @ batch.positives.T / 0.07
        forward = cosines[0, :3].logsumexp(0) - cosines[0, 0]
        backward = cosines[:, 0].logsumexp(0) - cosines[0, 0]
        violated = (0.2 - (cosines[0, 0] - cosines[0, 1:3].max()) * 0.07).relu()
        assert float(found) == pytest.approx(float((forward + backward) / 2 + violated))
    else:
        assert float(found) == pytest.approx(float(Objective(CONFIG)(three).rows[0]))
    assert float(seen) > float(found) + 1e-4


def test_an_explicit_negative_equal_to_the_positive_or_query_is_no_negative() -> None:
    batch = batch_of([2, 2], owner=(0, 0, 1))
    plain = batch_of([2, 2])
    keys = torch.stack([batch.positive_keys[0], batch.query_keys[0], batch.positive_keys[0]])
    for config in (CONFIG, ObjectiveConfig(only_contrastive=True)):
        found, without = Objective(config)(replace(batch, negative_keys=keys)).rows, Objective(config)(plain).rows
        assert float(found[0]) == pytest.approx(float(without[0]))
    assert float(found[1]) > float(without[1]) + 1e-4, "for the other row they are negatives"


def test_a_group_shields_from_each_others_negatives_but_not_from_ones_own() -> None:
    batch = batch_of([2, 2], owner=(0, 1))
    joined = replace(batch, groups=batch.groups[:1].repeat(2))
    cosines = batch.queries @ batch.negatives.T
    own = (batch.queries * batch.positives).sum(1)
    for row in range(2):
        given = cosines[row, row]
        expected = torch.log1p(torch.exp((given - own[row]) / 0.07)) / 2 + (0.2 - own[row] + given).relu()
        assert float(Objective(CONFIG)(joined).rows[row]) == pytest.approx(float(expected))


def test_a_batch_of_false_negatives_alone_has_finite_gradients() -> None:
    batch = batch_of([0, 1, 2, 3, 4], dtype=torch.float32)
    batch = replace(batch, groups=batch.groups * 0, queries=batch.queries.requires_grad_())
    report = Objective(CONFIG)(batch)
    report.loss.backward()
    assert batch.queries.grad is not None and batch.queries.grad.isfinite().all()
    assert float(report.metrics["ocr/loss"]) == 0.0
    assert "ocr/hardest_negative_cosine" not in report.metrics
    assert all(math.isfinite(value) for value in report.metrics.values())


def test_the_given_negative_is_preferred_to_a_harder_one_in_the_batch() -> None:
    batch = batch_of([2, 2], owner=(0,))
    easy = replace(batch, negatives=-batch.queries[:1])
    metrics = Objective(CONFIG)(easy).metrics
    own = (batch.queries * batch.positives).sum(1)
    hard = (batch.queries[1] @ batch.positives[0] - own[1] + 0.2).relu()
    assert float(metrics["ocr/triplet"]) == pytest.approx(float(hard) / 2), "row 0: its given negative is far away"


def test_a_pair_with_score_zero_is_no_positive_but_stays_a_negative() -> None:
    batch = batch_of([0, 0, 1])
    report = Objective(CONFIG)(replace(batch, scores=put(batch.scores, _0=0.0)))
    cosine = float(batch.queries[0] @ batch.positives[0])
    assert float(report.rows[0]) == pytest.approx(cosine**2)
    whole = Objective(CONFIG)(batch)
    assert torch.equal(report.rows[1:], whole.rows[1:]), "to the others it is the negative it was"
    assert float(report.metrics["text_pair/positive_cosine"]) == pytest.approx(
        float(batch.queries[1] @ batch.positives[1])
    )


# --- what joining samples change -------------------------------------------------------------------------------------


def test_order_of_rows_does_not_matter() -> None:
    batch = tangled(4)
    order = torch.randperm(17, generator=torch.Generator().manual_seed(1))
    moved = {name: part[order] for name, part in vars(batch).items() if isinstance(part, Tensor) and len(part) == 17}
    moved["owner"] = order.argsort()[batch.owner]
    first, second = Objective(CONFIG)(batch), Objective(CONFIG)(replace(batch, **moved))
    torch.testing.assert_close(second.rows, first.rows[order])
    torch.testing.assert_close(second.loss, first.loss)


# --- how it computes -------------------------------------------------------------------------------------------------


def test_balance_weighs_tasks_or_rows() -> None:
    batch = batch_of([0, 0, 0, 1])
    tasks, rows = (Objective(ObjectiveConfig(balance=balance))(batch) for balance in ("tasks", "rows"))
    assert torch.equal(tasks.rows, rows.rows)
    assert float(tasks.loss) == pytest.approx(float(tasks.rows[:3].mean() + tasks.rows[3]))
    assert float(rows.loss) == pytest.approx(float(rows.rows.mean()))


def test_autocast_does_not_reach_the_loss() -> None:
    batch = replace(tangled(0), **{name: getattr(tangled(0), name).float() for name in
                                   ("queries", "positives", "negatives", "scores")})  # fmt: skip
    plain = Objective(CONFIG)(batch).loss
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(Objective(CONFIG)(batch).loss, plain)


def test_nothing_waits_for_the_device_but_one_transfer_of_counts() -> None:
    class Recorder(TorchDispatchMode):
        seen: list[str]

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.seen.append(str(function))
            return function(*args, **(kwargs or {}))

    recorder = Recorder()
    recorder.seen = []
    with recorder:
        Objective(CONFIG, (4,))(tangled(0))
    waits = ("_local_scalar_dense", "nonzero", "masked_select", "unique")
    waiting = [name for name in recorder.seen if any(word in name for word in waits)]
    assert len(recorder.seen) > 50 and not waiting


def test_what_is_logged_holds_no_graph() -> None:
    batch = batch_of([0, 2])
    report = Objective(CONFIG)(replace(batch, queries=batch.queries.requires_grad_()))
    assert report.loss.requires_grad and not report.rows.requires_grad
    assert not any(value.requires_grad for value in report.metrics.values() if isinstance(value, Tensor))


def test_a_batch_without_rows_has_loss_zero_with_a_graph() -> None:
    batch = batch_of([], dtype=torch.float32)
    report = Objective(CONFIG)(replace(batch, queries=batch.queries.requires_grad_()))
    report.loss.backward()
    assert report.loss.item() == 0.0 and report.metrics == {}


def test_matryoshka_at_full_width_is_the_plain_loss() -> None:
    batch = tangled(3)
    assert torch.equal(Objective(CONFIG, (12,))(batch).rows, Objective(CONFIG)(batch).rows)


# --- own tasks and terms ---------------------------------------------------------------------------------------------


def test_the_example_in_the_docstring_runs() -> None:
    found = doctest.testmod(trainer.objective, extraglobs={"OBJECTIVES": trainer.objective.OBJECTIVES})
    assert found.attempted >= 3 and not found.failed


def test_a_user_task_with_a_user_term() -> None:
    seen: list[TaskRows] = []

    def short_of(rows: TaskRows) -> Tensor:
        seen.append(rows)
        return (0.9 - rows.cosines).relu()

    register_term("short_of", short_of)
    register_task("caption", Term("infonce", weight=0.5), Term("short_of", weight=2.0, applies="all"))
    batch = replace(batch_of([2, 5, 5]), task_names=(*TASKS, "caption"))
    report = Objective(CONFIG)(replace(batch, scores=put(batch.scores, _1=0.0)))
    assert seen[0].candidates.shape == (2, 3) and seen[0].own.tolist() == [1, 2]
    short = (0.9 - (batch.queries * batch.positives).sum(1)).relu()
    as_ocr = Objective(ObjectiveConfig(only_contrastive=True))(batch).rows[2]
    expected = [2 * float(short[1]), 2 * float(short[2]) + 0.5 * float(as_ocr)]
    assert report.rows[1:].tolist() == pytest.approx(expected)
    assert float(report.metrics["caption/short_of"]) == pytest.approx(float(short[1:].mean()))


def wrong_uses() -> Iterator[tuple[str, object]]:
    yield "no loss term", lambda: register_task("empty")
    yield "unknown loss terms infoence", lambda: register_task("typo", Term("infoence"))
    yield "a loss term 'mse' exists", lambda: register_term("mse", lambda rows: rows.scores)
    yield "unknown terms: tripel", lambda: Objective(ObjectiveConfig(weights={"tripel": 2.0}))
    yield "matryoshka has \\[13\\]", lambda: Objective(CONFIG, (13,))(batch_of([1]))
    yield "no loss for task 'chart'", lambda: Objective(CONFIG)(replace(batch_of([0]), task_names=("chart",)))


@pytest.mark.parametrize(("message", "use"), [pytest.param(*case, id=case[0]) for case in wrong_uses()])
def test_wrong_uses_say_what_is_wrong(message: str, use) -> None:
    with pytest.raises(ConfigError, match=message):
        use()


def test_a_term_of_the_wrong_shape_is_named() -> None:
    register_term("mean", lambda rows: rows.cosines.mean())
    register_task("ocr", Term("mean"))
    with pytest.raises(ConfigError, match="'mean' gives \\(\\), not one value for each of its 2 rows"):
        Objective(CONFIG)(batch_of([2, 2, 0]))
