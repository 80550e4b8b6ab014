"""docs/training.md: its lines are samples, its code runs, its figures are the plan's."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

from trainer.config import load_config
from trainer.data import JsonlSamples
from trainer.objective import OBJECTIVES
from trainer.plan import TrainPlan, plan

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def block(kind: str) -> str:
    found = re.findall(rf"```{kind}\n(.*?)```", TEXT, flags=re.S)
    assert len(found) == 1
    return str(found[0])


def test_there_is_a_line_of_every_task(tmp_path: Path) -> None:
    for name in ("receipt", "chart", "a", "b"):
        Image.new("RGB", (56, 56)).save(tmp_path / f"{name}.png")
    (tmp_path / "all.jsonl").write_text(block("jsonl"), encoding="utf-8")
    samples = JsonlSamples(tmp_path / "all.jsonl", known_tasks=OBJECTIVES)
    read = [samples[number] for number in range(len(samples))]
    assert {sample.task for sample in read} == {"text_pair", "instr", "ocr", "vqa_single", "vqa_multi"}
    assert read[2].negatives and read[3].group == "chart-17" and len(read[4].query.images) == 2


def test_a_task_of_ones_own() -> None:
    """In a process of its own: tasks are registered for good."""
    code = block("python") + "\nfrom trainer.objective import OBJECTIVES\nprint(len(OBJECTIVES['caption'].terms))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT).stdout == b"2\n"


def test_what_the_page_names_exists() -> None:
    for path in re.findall(r"`?((?:trainer|tests)/[\w/]+\.(?:py|yaml|json))", TEXT):
        assert (ROOT / path).is_file(), path


def published(**changes: object) -> TrainPlan:
    return plan(load_config(ROOT / "trainer" / "configs" / "qwen2VL2B.yaml", changes), gpus=4, strategy="fsdp")


def test_the_published_runs_figures_are_the_plans() -> None:
    made = published()
    step = made.step
    said = TEXT[TEXT.index("**The published run**") :]
    for figure in (
        f"{made.steps_per_epoch:,} steps an epoch, {made.steps:,} in all",
        f"{step.visual + step.text:,.0f} tokens a step, {step.visual:,.0f} of them",
        f"{made.flops.total / 1e15:.2f} PFLOP a step",
        f"{made.memory_total / 1e9:.0f} GB a GPU with FSDP",
        f"{made.hours / made.steps * 3600:.1f} s a step, {made.hours:.0f} hours",
    ):
        assert figure in said
    config = load_config(ROOT / "trainer" / "configs" / "qwen2VL2B.yaml")
    assert f"{plan(config, gpus=4, strategy='ddp').memory_total / 1e9:.0f} GB with DDP" in said
    whole = published(**{"model.gradient_checkpointing": False})
    assert f"{whole.memory_total / 1e9:.0f} GB, or a `token_budget` of 4,096" in said
    parameters = made.parameters
    counts = [parameters.vision, parameters.language, parameters.embeddings, parameters.projection, parameters.total]
    assert "| " + " | ".join(f"{count / 1e6:,.1f} M" for count in counts) + " |" in TEXT
