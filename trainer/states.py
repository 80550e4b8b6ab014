"""What a run leaves on the disk while it trains: whole states to go on from, and the best weights they know of."""

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist

from embedder.errors import ViPyloError
from trainer.evaluation import Evaluation
from trainer.gather import world_size

logger = logging.getLogger(__name__)

COMPLETE = "complete"  # written into a saved state last: a state without it was cut off while it was written or deleted
_STATE = re.compile(r"checkpoint-(\d+)")
_BEST = re.compile(r"best-(\d+)(?:\.json)?")

Found = TypeVar("Found")


def decided_by_first(decide: Callable[[], Found]) -> Found:
    """What rank 0 finds, on all ranks; an error of ours is raised on all of them. All ranks must call.

    Ranks that each looked for themselves could see different files, or differ in a last digit, and go separate ways:
    the next collective would wait for ever.
    """
    if world_size() == 1:
        return decide()
    box: list[Any] = [None, None]
    if dist.get_rank() == 0:
        try:
            box[0] = decide()
        except ViPyloError as error:
            box[1] = error
    dist.broadcast_object_list(box, src=0)
    if box[1] is not None:
        raise box[1]
    found: Found = box[0]
    return found


def write_whole(path: Path, text: str) -> None:
    """Write a file so that after a crash there is the old one or the new one, never half of it."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    _to_disk(path.parent)


def state_folder(output: Path, step: int) -> Path:
    """Where transformers saves the state of this step."""
    return output / f"checkpoint-{step}"


def mark_complete(state: Path, best_step: int | None) -> None:
    """Say that a state is whole, once all its bytes are on the disk, and which step's weights were the best by then."""
    for path in [*state.rglob("*"), state]:
        _to_disk(path)
    write_whole(state / COMPLETE, "" if best_step is None else str(best_step))


def unmark(state: Path) -> None:
    """Before a state is written again or deleted: cut off halfway, it must not look whole."""
    (state / COMPLETE).unlink(missing_ok=True)


def last_state(output: Path, remove_broken: bool) -> Path | None:
    """The newest saved state that is whole; ones cut off by a kill while saving are passed over, or removed."""
    states = _states(output)
    if remove_broken:
        for state in states.values():
            if not (state / COMPLETE).exists():
                logger.warning("%s was cut off while it was written: removed", state)
                shutil.rmtree(state, ignore_errors=True)
    whole = [step for step, state in states.items() if (state / COMPLETE).exists()]
    return states[max(whole)] if whole else None


def known_best(state: Path) -> int | None:
    """The step whose weights were the best when this state was saved."""
    text = (state / COMPLETE).read_text(encoding="utf-8").strip()
    return int(text) if text else None


def remove_old(output: Path, keep: int, best_step: int | None) -> None:
    """Remove all whole states but the `keep` newest, and then the weights that none of them knows as the best."""
    states = {step: path for step, path in _states(output).items() if (path / COMPLETE).exists()}
    for step in sorted(states)[:-keep]:
        unmark(states[step])
        shutil.rmtree(states[step], ignore_errors=True)
    remove_best(output, wanted={best_step, *_known_bests(output)})


def best_folder(output: Path, step: int) -> Path:
    """The weights of the evaluation at this step, a checkpoint like any other."""
    return output / f"best-{step}"


def keep_best(output: Path, step: int, write: Callable[[Path], object], evaluation: Evaluation) -> None:
    """Keep weights and what was measured of them; either both are there or neither.

    A kill may take the run back to an older state, for which older weights were the best: those stay until no state
    on the disk knows them.
    """
    folder = best_folder(output, step)
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    write(part)
    for path in [*part.rglob("*"), part]:
        _to_disk(path)
    write_whole(_evaluation_file(folder), json.dumps(evaluation.to_json(), indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    remove_best(output, wanted={step, *_known_bests(output)})


def remove_best(output: Path, wanted: Collection[int | None]) -> None:
    """Remove the kept weights of all steps that are not wanted."""
    for path in list(output.iterdir()):
        match = _BEST.fullmatch(path.name)
        if match and int(match[1]) not in wanted:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def best_evaluation(output: Path, step: int) -> Evaluation | None:
    """What was measured at the step of these weights; None if they are not there."""
    folder = best_folder(output, step)
    file = _evaluation_file(folder)
    if not (folder.is_dir() and file.is_file()):
        return None
    return Evaluation.from_json(json.loads(file.read_text(encoding="utf-8")))


def _known_bests(output: Path) -> set[int | None]:
    return {known_best(state) for state in _states(output).values() if (state / COMPLETE).exists()}


def _evaluation_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _states(output: Path) -> dict[int, Path]:
    """All saved states by step, whole or not. The whole name must fit: a folder "checkpoint-good" is somebody's."""
    if not output.is_dir():
        return {}
    found = [(_STATE.fullmatch(path.name), path) for path in output.iterdir() if path.is_dir()]
    return {int(match[1]): path for match, path in found if match}


def _to_disk(path: Path) -> None:
    """A rename or a marker may reach the disk before the bytes that it vouches for."""
    folder = path.is_dir()
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError:
        if not folder:  # some network file systems cannot do it for folders
            raise
    finally:
        os.close(descriptor)
