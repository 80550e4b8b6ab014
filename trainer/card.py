"""The model card of a trained checkpoint: how to load it, what it was trained on, and what was measured, no more."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from embedder.prefixes import PROMPTS
from trainer.config import TrainConfig
from trainer.evaluation import Evaluation, metric_order
from trainer.run_facts import fact_rows

CARD_FILE = "README.md"

_METRICS = {"ndcg@10": "nDCG@10", "mrr": "MRR", "spearman": "Spearman"}
_CHOSEN = (
    "\n\nThe weights are those of the best of several evaluations on this same file: "
    "on unseen data expect somewhat less."
)
_SECTIONS = ("model", "objective", "optimization")


def write_card(
    directory: Path, config: TrainConfig, evaluation: Evaluation | None, facts: Mapping[str, Any] | None = None
) -> Path:
    """Write README.md beside the weights; an older card there is replaced.

    Of paths only file names are told: a card travels further than the folders of whoever trained.

    Args:
        evaluation: of these very weights; without one the card says that nothing was measured.
        facts: counts of the run, see `trainer.run_facts`; what is missing is not said.

    Returns:
        The file.
    """
    parts = (
        _front_matter(config),
        _introduction(config),
        _usage(config, facts or {}),
        _measured(config, evaluation, facts or {}),
        _training(config, facts or {}),
        _data(config),
        _limits(config, evaluation, facts or {}),
    )
    path = Path(directory) / CARD_FILE
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def _front_matter(config: TrainConfig) -> str:
    report = config.report
    fields: dict[str, Any] = {"license": report.licence} if report.licence else {}
    fields |= {"language": list(report.languages)} if report.languages else {}
    fields |= {"library_name": "sentence-transformers", "pipeline_tag": "feature-extraction"}
    if _is_hub_id(config.model.checkpoint):
        fields["base_model"] = config.model.checkpoint
    fields["tags"] = ["multimodal", "embeddings", "sentence-similarity", "qwen2_vl", "vipylo-rag"]
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)}---"


def _introduction(config: TrainConfig) -> str:
    lora, frozen = config.model.lora, config.model.frozen
    how = f"low-rank adapters of rank {lora.rank}, merged into the weights" if lora else "all weights trained"
    if frozen:
        how = f"{how if lora else 'weights trained'}, {_listed(frozen)} frozen"
    widths = [str(width) for width in sorted(config.model.matryoshka)]
    cut = f" Vectors may be cut to their first {_listed(widths)} numbers." if widths else ""
    return (
        f"# {_line(config.report.name)}\n\n"
        "An embedder of text, images and both together: Qwen2-VL, mean pooling over all tokens, a linear projection, "
        f"unit length.{cut} Made from `{_line(_base(config))}` with the prefix-guided trainer of ViPylo RAG ({how})."
    )


def _usage(config: TrainConfig, facts: Mapping[str, Any]) -> str:
    return f"""## Use

```python
from embedder import ColPaLiQwenEmbedder

embedder = ColPaLiQwenEmbedder.from_pretrained("path/to/this/folder")
page, question = embedder.encode(text=["", "a question"], images=[image, None])
score = page @ question
```

It is a sentence-transformers directory too (6.2 or newer):

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
vectors = model.encode(["one text", "another"])
```

{_prefix_note(config, facts)}"""


def _prefix_note(config: TrainConfig, facts: Mapping[str, Any]) -> str:
    if not config.data.prefixes:
        return "It was trained without task prefixes: give queries as they are."
    trained = [str(task) for task in facts.get("tasks", ())]
    known, own = [task for task in trained if task in PROMPTS], [task for task in trained if task not in PROMPTS]
    notes = []
    if known or not own:
        example = known[0] if known else "ocr"
        tasks = f"; tasks: {_listed([f'`{task}`' for task in known])}" if known else ""
        notes.append(
            f'Queries were trained with the prefix of their task (`task="{example}"` in `encode`, or '
            f'`prompt_name="{example}"` in sentence-transformers{tasks}); documents have none.'
        )
    if own:
        notes.append(
            f"Queries of {_listed([f'`{_line(task)}`' for task in own])} have no prefix: give them as they are."
        )
    return " ".join(notes)


def _measured(config: TrainConfig, evaluation: Evaluation | None, facts: Mapping[str, Any]) -> str:
    title = "## Measured"
    if evaluation is None or not evaluation.parts:
        return f"{title}\n\nNothing was measured: the run had no evaluation file with documents to choose from."
    columns = sorted({name for part in evaluation.parts for name in part.metrics}, key=metric_order)
    head = ["task", "language", "queries", "documents", *(_METRICS.get(name, name) for name in columns)]
    rows = [head, ["---"] * 2 + ["---:"] * (len(head) - 2)]
    for part in evaluation.parts:
        numbers = [f"{part.metrics[name]:.3f}" if name in part.metrics else "" for name in columns]
        rows.append([part.task, part.language or "all", f"{part.queries:,}", f"{part.documents:,}", *numbers])
    table = "\n".join(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows)
    source = f" of `{_line(config.data.evaluation.name)}`" if config.data.evaluation else ""
    skipped = (
        f" {evaluation.skipped:,} of {evaluation.samples:,} samples could not be loaded and are not counted."
        if evaluation.skipped
        else ""
    )
    return (
        f"{title}\n\nEvery query{source} was searched, exactly, among all distinct positives of its task (or of its "
        f"language, where one is named). Small sets of documents make high figures. The weights were measured as they "
        f"were trained; the file holds them rounded to bfloat16: measured again, figures may differ a little."
        f"{skipped}\n\n{table}" + (_CHOSEN if facts.get("best_step") is not None else "")
    )


def _training(config: TrainConfig, facts: Mapping[str, Any]) -> str:
    rows = [f"| {_cell(label)} | {_cell(text)} |" for label, text in fact_rows(facts)]
    table = "\n".join(["| | |", "|---|---:|", *rows]) + "\n\n" if rows else ""
    content = config.model_dump(mode="json", include=set(_SECTIONS))
    content["model"]["checkpoint"] = _base(config)
    content["data"] = config.data.model_dump(mode="json", include={"sampling", "mixing", "prefixes"})
    settings = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    fence = _fence(settings)
    return f"## Training\n\n{table}{fence}yaml\n{settings}{fence}"


def _data(config: TrainConfig) -> str:
    names = [f"Trained on `{_line(config.data.train.name)}`"]
    if config.data.evaluation:
        names.append(f"evaluated on `{_line(config.data.evaluation.name)}`")
    credits = [f"- {_line(credit)}" for credit in config.report.data_credits]
    told = "\n".join(credits) if credits else "Sources and licences of the data were not stated by whoever trained."
    return f"## Data and credits\n\n{', '.join(names)}.\n\n{told}"


def _limits(config: TrainConfig, evaluation: Evaluation | None, facts: Mapping[str, Any]) -> str:
    tasks = sorted({part.task for part in evaluation.parts}) if evaluation else []
    languages = sorted({part.language for part in evaluation.parts if part.language}) if evaluation else []
    known = f"the tasks {_listed([f'`{task}`' for task in tasks])}" if tasks else "no task"
    known += f" and the languages {_listed(languages)}" if languages else ""
    limits = [
        f"- Measured on {known}; nothing is claimed of others.",
        f"- Inputs of more than {config.model.max_tokens:,} tokens are cut; images that do not fit are refused.",
        "- It ranks; it does not answer. A high cosine says that two things are alike, not that one is true.",
    ]
    if not config.report.licence:
        limits.append("- No licence was stated for these weights: ask whoever trained them before you pass them on.")
    if facts.get("stopped"):
        limits.append(f"- Training ended early: {_line(str(facts['stopped']))}.")
    return "## Limits\n\n" + "\n".join(limits)


def _base(config: TrainConfig) -> str:
    """Where training began: a hub id or "starter" as it is, of a folder its name."""
    checkpoint = config.model.checkpoint
    return checkpoint if _is_hub_id(checkpoint) else Path(checkpoint).name


def _is_hub_id(checkpoint: str) -> bool:
    path = Path(checkpoint)
    return (
        checkpoint.count("/") == 1
        and not path.is_absolute()
        and not checkpoint.startswith((".", "~"))
        and (not path.is_dir())
    )


def _listed(words: Any) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else str(last)


def _line(text: str) -> str:
    """Text on one line, so that it cannot end its paragraph, list or heading."""
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _fence(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return fence
