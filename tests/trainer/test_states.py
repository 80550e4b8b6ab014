"""What lies on the disk while a run trains: whole states, the best weights they know, nothing half."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer import states
from trainer.evaluation import Evaluation, Part
from trainer.states import COMPLETE, keep_best, known_best, last_state, mark_complete, remove_old, unmark, write_whole


def state(output: Path, step: int, best: int | None = None, whole: bool = True) -> Path:
    folder = output / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    if whole:
        mark_complete(folder, best)
    return folder


def weights(text: str) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        folder.mkdir()
        (folder / "model.safetensors").write_text(text)

    return write


def evaluation(value: float) -> Evaluation:
    return Evaluation((Part("ocr", None, 2, 2, {"ndcg@10": value}),), 2)


def names(output: Path) -> set[str]:
    return {path.name for path in output.iterdir()}


def test_a_state_cut_off_while_it_was_written_is_passed_over(tmp_path: Path) -> None:
    for step in (2, 4, 10):
        state(tmp_path, step, whole=step != 10)
    assert last_state(tmp_path, remove_broken=False) == tmp_path / "checkpoint-4"
    assert (tmp_path / "checkpoint-10").exists()
    assert last_state(tmp_path, remove_broken=True) == tmp_path / "checkpoint-4"
    assert not (tmp_path / "checkpoint-10").exists()


def test_folders_of_other_people_stay(tmp_path: Path) -> None:
    for name in ("checkpoint-good", "checkpoint-3-copy", "my-checkpoint-3", "best-of-all", "checkpoint-12.part"):
        (tmp_path / name).mkdir()
    state(tmp_path, 1)
    before = names(tmp_path)
    assert last_state(tmp_path, remove_broken=True) == tmp_path / "checkpoint-1"
    remove_old(tmp_path, 1, None)
    assert names(tmp_path) == before


def test_old_states_go_only_when_newer_ones_are_whole(tmp_path: Path) -> None:
    state(tmp_path, 1000)
    state(tmp_path, 3000)
    cut_off = state(tmp_path, 3500, whole=False)
    remove_old(tmp_path, 2, 1000)
    assert names(tmp_path) == {"checkpoint-1000", "checkpoint-3000", "checkpoint-3500"}
    mark_complete(cut_off, None)
    remove_old(tmp_path, 2, 1000)
    assert names(tmp_path) == {"checkpoint-3000", "checkpoint-3500"}


def test_a_state_that_is_half_deleted_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = state(tmp_path, 1)
    state(tmp_path, 2)
    monkeypatch.setattr(states.shutil, "rmtree", lambda *_, **__: None)  # killed right there
    remove_old(tmp_path, 1, None)
    assert old.exists() and not (old / COMPLETE).exists()
    again = tmp_path / "checkpoint-2"
    unmark(again)  # and so is one that is being written again
    assert last_state(tmp_path, remove_broken=False) is None


def test_the_best_weights_of_every_state_on_the_disk_stay(tmp_path: Path) -> None:
    keep_best(tmp_path, 1000, weights("a"), evaluation(0.5))
    assert known_best(state(tmp_path, 1000, best=1000)) == 1000
    # Better ones, and then a kill before they are in any state: the run goes on from step 1000, where these were best.
    keep_best(tmp_path, 2000, weights("b"), evaluation(0.6))
    assert (tmp_path / "best-1000").is_dir() and states.best_evaluation(tmp_path, 1000) == evaluation(0.5)
    state(tmp_path, 3000, best=2000)
    remove_old(tmp_path, 1, 2000)
    assert names(tmp_path) == {"best-2000", "best-2000.json", "checkpoint-3000"}
    assert states.best_evaluation(tmp_path, 2000) == evaluation(0.6)
    assert states.best_evaluation(tmp_path, 1000) is None


def test_weights_and_what_was_measured_of_them_come_together(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        folder.mkdir()
        raise OSError(28, "No space left on device")

    keep_best(tmp_path, 5, weights("a"), evaluation(0.5))
    for step in (5, 9):
        with pytest.raises(OSError, match="No space"):
            keep_best(tmp_path, step, full, evaluation(0.9))
    assert states.best_evaluation(tmp_path, 9) is None
    assert states.best_evaluation(tmp_path, 5) == evaluation(0.5)
    keep_best(tmp_path, 5, weights("c"), evaluation(0.7))
    assert (tmp_path / "best-5" / "model.safetensors").read_text() == "c"


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    write_whole(path, json.dumps({"steps": 1}))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(states.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, json.dumps({"steps": 2}))
    assert json.loads(path.read_text()) == {"steps": 1}
