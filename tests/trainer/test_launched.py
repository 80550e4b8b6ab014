"""Whole runs on two processes, copied (DDP) and sharded (accelerate's FSDP2): evaluated, cut off, resumed, exported."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from embedder.model import ColPaLiQwenEmbedder
from tests import prepared
from tests.trainer.small_data import write_config, write_small_data
from trainer.config import load_config
from trainer.run import train
from trainer.states import last_state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
ROOT = Path(__file__).parents[2]
LIMIT, WORLD = 90, 2
EVALUATED = {"report__evaluate_every": 3, "report__save_every": 2, "report__keep": 2, "optimization__epochs": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty samples of all five tasks: four steps an epoch."""
    return write_small_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, data: Path) -> Path:
    """The same run on one process."""
    folder = tmp_path_factory.mktemp("one")
    torch.set_num_threads(1)
    train(load_config(write_config(
        folder, tiny_checkpoint, data, data__evaluation=str(data), optimization__per_device_batch=4, **EVALUATED
    )))  # fmt: skip
    return folder / "run"


def fsdp() -> dict[str, str]:
    """The environment that `accelerate launch --config_file trainer/configs/accelerate_fsdp.yaml` makes."""
    content = yaml.safe_load((ROOT / "trainer" / "configs" / "accelerate_fsdp.yaml").read_text())["fsdp_config"]
    names = {"fsdp_transformer_layer_cls_to_wrap": "FSDP_TRANSFORMER_CLS_TO_WRAP"}
    values = {names.get(name, name.upper()): str(value).replace("True", "true").replace("False", "false")
              for name, value in content.items()}  # fmt: skip
    return {**values, "ACCELERATE_USE_FSDP": "true"}


def launch(config: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Two processes of `tests.trainer.launched`, as `torch.distributed.run` starts them but for its own three seconds
    and the imports; the whole must end within the limit."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    said = [config.parent / f"said-by-{rank}" for rank in range(WORLD)]
    for file in said:
        file.unlink(missing_ok=True)
    ranks = [
        prepared.start_module(
            "tests.trainer.launched", config, output=said[rank], RANK=str(rank), LOCAL_RANK=str(rank),
            WORLD_SIZE=str(WORLD), LOCAL_WORLD_SIZE=str(WORLD), **meeting, **environment,
        )
        for rank in range(WORLD)
    ]  # fmt: skip
    until = time.monotonic() + LIMIT
    while any(rank.exitcode is None for rank in ranks) and not any(rank.exitcode for rank in ranks):
        assert time.monotonic() < until, "".join(file.read_text() for file in said)
        time.sleep(0.05)
    for rank in ranks:  # the launcher does not let one go on alone either
        rank.kill()
        rank.join()
    code = next((rank.exitcode for rank in ranks if rank.exitcode), 0)
    return subprocess.CompletedProcess([str(config)], code, "", "".join(file.read_text() for file in said))


def lines(output: Path) -> list[dict[str, Any]]:
    newest = last_state(output, remove_broken=False)
    assert newest is not None
    history: list[dict[str, Any]] = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    return history


def curve(output: Path, name: str) -> list[tuple[int, float]]:
    return [(line["step"], line[name]) for line in lines(output) if name in line]


@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
def test_two_processes_evaluate_stop_resume_and_export_as_one_does(
    tmp_path: Path, tiny_checkpoint: Path, data: Path, one: Path, sharded: bool
) -> None:
    config = write_config(
        tmp_path, tiny_checkpoint, data, data__evaluation=str(data), optimization__per_device_batch=2, **EVALUATED
    )
    environment, output = fsdp() if sharded else {}, tmp_path / "run"
    cut_off = launch(config, **environment, STOP_AT="5")
    assert cut_off.returncode != 0
    assert last_state(output, remove_broken=False) == output / "checkpoint-4", cut_off.stderr
    assert (output / "checkpoint-4" / "pytorch_model_fsdp.bin").exists() == sharded
    finished = launch(config, **environment)
    assert finished.returncode == 0, finished.stderr
    assert "goes on from step 4" in finished.stderr
    for name in ("loss", "grad_norm", "eval_mean"):
        expected, found = curve(one, name), curve(output, name)
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [value for _, value in found] == pytest.approx([value for _, value in expected], rel=1e-3), name
    facts = [json.loads((folder / "run.json").read_text()) for folder in (one, output)]
    assert facts[0]["best_step"] == facts[1]["best_step"] and facts[1]["devices"] == 2
    vectors = [
        ColPaLiQwenEmbedder.from_pretrained(folder / "checkpoint", device="cpu").encode(text=["red", "the blue one"])
        for folder in (one, output)
    ]
    assert torch.allclose(torch.as_tensor(vectors[0]), torch.as_tensor(vectors[1]), atol=1e-2)


def test_ranks_that_measure_differently_go_one_way(tmp_path: Path, tiny_checkpoint: Path, data: Path) -> None:
    config = write_config(
        tmp_path, tiny_checkpoint, data, data__evaluation=str(data), optimization__epochs=4,
        optimization__per_device_batch=2, report__evaluate_every=2, report__early_stopping=2,
    )  # fmt: skip
    ended = launch(config, DISAGREE="1")
    assert ended.returncode == 0, ended.stderr
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["best_step"] == 2 and facts["steps"] == 6 and facts["stopped"] == "early stopping"


def test_a_refusal_is_one_line_on_all_ranks(tmp_path: Path, tiny_checkpoint: Path, data: Path) -> None:
    config = write_config(tmp_path, tiny_checkpoint, data, optimization__per_device_batch=2)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious.txt").write_text("mine")
    command = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "-m", "tests.trainer.launched"]
    ended = subprocess.run(
        [sys.executable, *command, str(config)], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )  # fmt: skip
    assert ended.returncode != 0
    assert "holds other things than a run" in ended.stderr
    assert "trainer/run.py" not in ended.stderr, "a traceback through our code"
    assert (tmp_path / "run" / "precious.txt").read_text() == "mine"
