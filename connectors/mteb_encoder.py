"""Any embedder as a model of `mteb` 2, so that MTEB, MIEB and ViDoRe measure our checkpoints (extra `bench`)."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from embedder.errors import InputError, PluginError
from embedder.load import load_embedder
from embedder.prefixes import literal
from embedder.protocol import Embedder, Sample

try:
    from mteb.models import ModelMeta
    from mteb.models.abs_encoder import AbsEncoder, get_prompt
    from mteb.types import PromptType
except ImportError as error:
    raise PluginError('mteb is not installed: pip install "vipylo-rag[bench]"') from error

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata

logger = logging.getLogger(__name__)

# Rows that are embedded together: longest texts beside longest texts. A decoded page is held as so many texts.
_WINDOW: Final = 1024
_PICTURE_WEIGHT: Final = 16


class MtebEncoder(AbsEncoder):  # type: ignore[misc]  # mteb is an extra
    """An embedder as `mteb.evaluate` takes it: texts, images, and rows of both, as unit vectors compared by cosine.

    What stands in front of a text, as mteb's own wrappers have it: the checkpoint's prompt of the task's name, of its
    type, or of "query" or "document", whichever it has first. Where it has none of these but the prefixes of our
    training (see `embedder.prefixes`), they go where training puts them, in front of queries alone:

    | mteb asks for | documents | prefix |
    |---|---|---|
    | query, words | text | `<instr>` |
    | query, words | images (ViDoRe), or images and text | `<vqa_single>` |
    | query, images and words | anything | `<vqa_single>` |
    | query, images | text | `<ocr>` |
    | query, images | images, or images and text | none |
    | neither query nor document, words, in a task of text alone (STS, classification, clustering) | | `<text_pair>` |
    | neither, in a task with images (VisualSTS, zero-shot classification) | | none |
    | document | | none |

    Texts are data: markers such as "<image>" in them are words. A row without words and image becomes a zero vector, as
    near to everything as to anything (some data sets have empty documents); other rows that cannot be embedded raise.

    Example:
        >>> import mteb
        >>> encoder = MtebEncoder(load_embedder("starter"))
        >>> mteb.evaluate(encoder, mteb.get_tasks(tasks=["NanoNFCorpusRetrieval"]))        # doctest: +SKIP

    Args:
        embedder: any; ours, or what `embedder.load.load_embedder` gives.
        name: "organisation/model" in mteb's results; by default made from the embedder's name. The revision is the
            beginning of the embedder's fingerprint, so that results of different weights are never mixed up.
        prompts: used instead of the checkpoint's: a task's name or type, "query" or "document" to text; {} for none.
        dim: compare the first so many components (Matryoshka).

    Raises:
        InputError: `dim` is not one of the embedder's.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        name: str | None = None,
        prompts: Mapping[str, str] | None = None,
        dim: int | None = None,
    ) -> None:
        if dim is not None and not 1 <= dim <= embedder.dim:
            raise InputError(f"dim={dim}: this embedder has 1 to {embedder.dim} dimensions")
        self.model = embedder
        self.dim = dim or embedder.dim
        self._prefixes: Mapping[str, str] = getattr(embedder, "prompts", {}) if prompts is None else {}
        self.model_prompts = dict(self._prefixes if prompts is None else prompts)
        changed = ({} if self.dim == embedder.dim else {"embed_dim": self.dim}) | (
            {} if prompts is None else {"prompts": dict(prompts) or "none"}
        )
        self.mteb_model_meta = _meta(self, name or mteb_name(embedder.name), changed)

    @property
    def embedder(self) -> Embedder:
        """What embeds."""
        found: Embedder = self.model
        return found

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: "TaskMetadata",
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        batch_size: int = 32,
        show_progress_bar: bool = False,
        precision: str | None = None,
        **options: Any,
    ) -> npt.NDArray[np.float32]:
        """Unit vectors [n, dim] of a data loader's rows, in their order.

        Args:
            inputs: batches with "text", "image" or both.
            task_metadata, prompt_type: decide what stands in front of the texts.
            batch_size: rows embedded at once, at most.

        Raises:
            InputError: a row cannot be embedded (named by its number in the data), the batches have neither texts nor
                images, or another precision than float32 was asked for.
        """
        if precision not in (None, "float32"):
            raise InputError(f"precision={precision!r}: mteb gets float32 vectors here")
        vectors: list[npt.NDArray[np.float32]] = [np.zeros((0, self.dim), np.float32)]
        total = len(getattr(inputs, "dataset", ())) or None
        with tqdm(total=total, disable=not show_progress_bar, unit="row", desc="encode") as bar:
            for samples in _windows(inputs):
                prompts = [self.prompt(task_metadata, prompt_type, sample) for sample in samples]
                vectors.append(self._vectors(samples, prompts, batch_size, sum(map(len, vectors))))
                bar.update(len(samples))
        return np.concatenate(vectors)

    def prompt(self, task_metadata: "TaskMetadata", prompt_type: PromptType | None, sample: Sample) -> str:
        """What stands in front of the text of a row of this task."""
        named: str | None = get_prompt(self.model_prompts, task_metadata, prompt_type)
        return self._prefixes.get(_task(task_metadata, prompt_type, sample), "") if named is None else named

    def _vectors(
        self, samples: list[Sample], prompts: list[str], batch_size: int, first: int
    ) -> npt.NDArray[np.float32]:
        full = [row for row, sample in enumerate(samples) if sample.text or sample.images]
        if len(full) < len(samples):
            logger.warning("%d rows are empty: they get zero vectors", len(samples) - len(full))
        vectors = np.zeros((len(samples), self.dim), np.float32)
        if not full:
            return vectors
        asked = [Sample(prompts[row] + samples[row].text, samples[row].images) for row in full]
        encoded = self.embedder.encode_rows(asked, batch_size=batch_size)
        for place, error in sorted(encoded.errors.items()):
            raise InputError(f"row {first + full[place]} of the data cannot be embedded: {error}")
        cut = encoded.vectors[:, : self.dim].astype(np.float32)
        vectors[full] = cut / np.linalg.norm(cut, axis=1, keepdims=True).clip(min=np.finfo(np.float32).tiny)
        return vectors


class _Registered(ModelMeta):  # type: ignore[misc]  # mteb is an extra
    """Metadata whose model is there already. mteb's own want torchvision of whatever sees images: not needed here."""

    def load_model(self, device: str | None = None, *, embed_dim: int | None = None, **options: Any) -> MtebEncoder:
        """The embedder, wrapped."""
        loaded: MtebEncoder = self.loader(self.name, embed_dim=embed_dim)
        return loaded


def register(embedder: Embedder | str, *, name: str | None = None) -> ModelMeta:
    """Make an embedder known to mteb by name for this process: `mteb.get_model(name)` gives it, wrapped.

    Args:
        embedder: an embedder, or what `load_embedder` takes.
        name: as for `MtebEncoder`.

    Returns:
        Its metadata, which `mteb.evaluate` takes too.

    Example:
        >>> meta = register("starter")                                  # doctest: +SKIP
        >>> mteb.evaluate(mteb.get_model(meta.name), tasks)             # doctest: +SKIP
    """
    from mteb.models.model_implementations import MODEL_REGISTRY

    loaded = load_embedder(embedder) if isinstance(embedder, str) else embedder

    # A function: mteb copies metadata deeply, and a function is not copied, nor what it holds.
    def vipylo_loader(model_name: str, *, embed_dim: int | None = None) -> MtebEncoder:
        return MtebEncoder(loaded, name=model_name, dim=embed_dim)

    known = MtebEncoder(loaded, name=name).mteb_model_meta
    meta = _Registered(**{**dict(known), "loader": vipylo_loader})
    MODEL_REGISTRY[meta.name] = meta
    return meta


def mteb_name(name: str) -> str:
    """An embedder's name as mteb's "organisation/model": a hub id as it is, "starter" and directories "vipylo/..."."""
    kind, colon, rest = name.rpartition(":")
    bare = rest if colon and "/" not in kind else name
    if re.fullmatch(r"[\w.-]+/[\w.-]+", bare) and not bare.startswith(".") and not Path(bare).exists():
        return bare
    return "vipylo/" + (re.sub(r"[^\w.-]+", "-", Path(bare).name).strip("-.") or "embedder")


def _task(task: "TaskMetadata", prompt_type: PromptType | None, sample: Sample) -> str:
    """Which prefix of our training fits; "" for none. See `MtebEncoder`."""
    if prompt_type == PromptType.document:
        return ""
    if prompt_type is None:
        return "text_pair" if list(task.modalities) == ["text"] else ""
    pictures = "image" in task.get_modalities(PromptType.document)
    if sample.text:
        return "vqa_single" if sample.images or pictures else "instr"
    return "" if pictures else "ocr"


def _windows(inputs: Any) -> Iterator[list[Sample]]:
    """The rows of a data loader, some batches at a time."""
    held: list[Sample] = []
    weight = 0
    for batch in inputs:
        rows = _samples(batch)
        held += rows
        weight += sum(1 + _PICTURE_WEIGHT * len(row.images) for row in rows)
        if weight >= _WINDOW:
            yield held
            held, weight = [], 0
    if held:
        yield held


def _samples(batch: Mapping[str, Any]) -> list[Sample]:
    texts, images = batch.get("text"), batch.get("image")
    if texts is None and images is None:
        raise InputError(f"mteb gave rows with {', '.join(sorted(batch))}: this model takes text and images")
    count = len(texts) if texts is not None else len(images or ())
    return [
        Sample(_text(texts[row]) if texts is not None else "", _pictures(images[row]) if images is not None else ())
        for row in range(count)
    ]


def _text(text: Any) -> str:
    return literal(text) if isinstance(text, str) and text.strip() else ""


def _pictures(image: Any) -> tuple[Image.Image, ...]:
    several = image if isinstance(image, list | tuple) else [] if image is None else [image]
    for one in several:
        if not isinstance(one, Image.Image):
            raise InputError(f"mteb gave an image as {type(one).__name__}: this model takes PIL images")
    return tuple(several)


def _meta(encoder: MtebEncoder, name: str, changed: Mapping[str, Any]) -> ModelMeta:
    embedder = encoder.embedder
    parameters = getattr(embedder, "parameters", None)
    count = sum(tensor.numel() for tensor in parameters()) if callable(parameters) else None
    return ModelMeta(
        loader=None,
        name=name,
        revision=embedder.fingerprint[:16],
        release_date=None,
        languages=None,
        n_parameters=count,
        memory_usage_mb=None,
        max_tokens=embedder.max_tokens,
        embed_dim=encoder.dim,
        license=None,
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=["PyTorch"],
        similarity_fn_name="cosine",
        use_instructions=bool(encoder.model_prompts),
        training_datasets=None,
        modalities=["text", "image"],
        experiment_kwargs=changed or None,  # mteb keeps such results apart
    )
