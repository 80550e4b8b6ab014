"""The recipe's one loop: reading characters, then matching views, then whole pages, by wall clock.

State (weights, optimizer, elapsed time, step) is saved every few minutes in the run folder; the same command resumes.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from trainer.starter.calibrate import closed_form, collect
from trainer.starter.codes import fit_merger, lay_in, letter_codes, rarity, start_texts, whitened
from trainer.starter.corpus import Corpus, balanced_texts, read_corpus
from trainer.starter.losses import (
    bag_cross_entropy,
    bag_recall,
    cell_error,
    cell_info_nce,
    info_nce,
    mixed_info_nce,
)
from trainer.starter.model import Shape, Starter, build_model
from trainer.starter.render import CELL, Fonts
from trainer.starter.samples import BLANK, Batches, CharacterSet, CropBatch, PairBatch, Stage
from trainer.starter.team import Team
from trainer.starter.tokenizer import train_tokenizer

# (share of the time at which the stage ends, stage). Characters first, small crops, few fonts and large letters.
PLAN: tuple[tuple[float, Stage], ...] = (
    (0.20, Stage("easy", 12, (224, 224), 6, (14, 22), True, False, 48, pairs_every=0)),
    (0.70, Stage("characters", 12, (224, 224), 6, (12, 22), False, False, 48, pairs_every=0)),
    (0.75, Stage("strips", 2, (504, 728), 1, (12, 20), False, False, 48, pairs_every=0)),
    (0.92, Stage("crops", 24, (336, 336), 4, (11, 20), False, True, 64, (280, 280), frozen=True)),
    (1.00, Stage("pages", 7, (1036, 728), 1, (11, 16), False, True, 64, (840, 588), True, True)),
)
# (query, document). "joint" is an image with all its text, "asked" the second image with a span.
ROUTES: tuple[tuple[str, str], ...] = (
    ("span", "image"), ("span", "whole"), ("image", "whole"), ("whole", "image"), ("image", "span"),
)  # fmt: skip
# With a second view, in every third batch; "joint" is the longest sequence, and comes along here only.
SECOND_ROUTES: tuple[tuple[str, str], ...] = (
    ("span", "joint"), ("second", "image"), ("second", "joint"), ("second", "whole"), ("joint", "second"),
    ("asked", "joint"), ("asked", "image"),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Everything a run depends on beside its texts."""

    minutes: float = 70.0
    peak_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 60
    temperature: float = 0.05
    average: float = 0.998  # of the weights kept for the result (moving average)
    fit_batches: int = 30  # of 24 crops, for the least squares between reading and matching
    vocabulary: int = 16000
    characters: int = 4200
    seed: int = 1
    save_every: float = 180.0  # seconds
    log_every: int = 50
    shape: Shape = field(default_factory=Shape)
    plan: tuple[tuple[float, Stage], ...] = PLAN


@dataclass
class Progress:
    """Where a run is."""

    step: int = 0
    elapsed: float = 0.0
    fitted: bool = False  # whether the vision tower's last layer was refitted, between reading and matching


class Run:
    """One run folder: tokenizer, weights, optimizer state and log."""

    def __init__(self, folder: Path, corpus: Corpus, settings: Settings, fonts: Fonts) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.settings = settings
        self.fonts = fonts
        self.corpus, _ = corpus.split()
        self.tokenizer = self._tokenizer()
        self.characters = CharacterSet.of(self.corpus, settings.characters)
        torch.manual_seed(settings.seed)
        self.starter = Starter(build_model(self.tokenizer, settings.shape), len(self.characters))
        if not (folder / "state.json").exists():
            lay_in(self.starter, self._first_codes())
        self.average = {name: value.detach().clone() for name, value in self.starter.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.starter, settings.weight_decay), lr=settings.peak_rate, betas=(0.9, 0.98)
        )
        self.progress = Progress()
        if (folder / "state.json").exists():
            self._restore()

    def train(self, until: float = 1.0, processes: int = 1) -> None:
        """Train to the share `until` of the time, in `processes` processes."""
        team = Team(processes, sum(p.numel() for p in self.starter.parameters()))
        team.done.value = self.progress.elapsed / (60 * self.settings.minutes)
        if processes > 1:
            torch.set_num_threads(1)
        team.run(lambda: self._loop(team, until))

    def _loop(self, team: Team, until: float) -> None:
        settings, total = self.settings, self.settings.minutes * 60
        batches = Batches(
            self.corpus, self.tokenizer, self.characters, self.fonts, settings.plan, team.done, settings.seed,
            first=self.progress.step * team.size + team.rank, stride=team.size,
        )  # fmt: skip
        loader = iter(DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=2))
        self.starter.train()
        saved = logged = time.monotonic()
        sums: dict[str, list[float]] = {}
        done = team.done.value
        while done < until:
            began = time.monotonic()
            crops, pairs = next(loader)
            waited = time.monotonic() - began
            if crops.frozen and not self.progress.fitted:
                self._fit(batches)
            for group in self.optimizer.param_groups:
                group["lr"] = settings.peak_rate * self._rate(done)
            watch = self.progress.step % settings.log_every == 0
            loss, parts = self.loss(crops, pairs, done, watch)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            done = team.average(self.starter, self.progress.elapsed / total)
            norm = self._clip()
            if torch.isfinite(norm):
                self.optimizer.step()
                self._move_average()  # on all ranks: the fit before matching starts from it
            self.progress.step += 1
            self.progress.elapsed += time.monotonic() - began
            for key, value in {**parts, "loss": float(loss.detach()), "norm": float(norm), "waited": waited}.items():
                sums.setdefault(key, []).append(value)
            if team.rank == 0 and self.progress.step % settings.log_every == 0:
                self._log(done, sums, time.monotonic() - logged)
                sums, logged = {}, time.monotonic()
            if team.rank == 0 and time.monotonic() - saved > settings.save_every:
                self.save()
                saved = time.monotonic()
        if team.rank == 0:
            self.save()

    def loss(
        self, crops: CropBatch, pairs: PairBatch | None, done: float, watch: bool = False
    ) -> tuple[Tensor, dict[str, float]]:
        """Sum of the stage's losses for one batch, and its parts for the log."""
        parts: dict[str, Tensor] = {}
        seen: dict[str, float] = {}
        starter = self.starter
        weights = {"text": 1.0, "characters": 0.5 if crops.views else 1.0, "words": 1.0, "error": 0.03, "views": 2.0}
        with torch.autocast("cpu", torch.bfloat16):
            if pairs is not None:
                queries = starter.embed(pairs.queries.ids, pairs.queries.lengths)
                positives = starter.embed(pairs.positives.ids, pairs.positives.lengths)
                parts["text"] = info_nce(queries, positives, self.settings.temperature, pairs.groups)
            with torch.set_grad_enabled(not crops.frozen):
                cells = starter.look(crops.pixels)
            if not crops.frozen:
                parts["characters"], recall = self._character_loss(cells.flatten(0, 1), crops.characters, watch)
                if recall is not None:
                    seen["recall"] = recall
                if len(crops.under):
                    parts["words"], parts["error"] = self._word_loss(cells, crops)
            if crops.views:
                losses = self._view_losses(crops, cells)
                seen |= {f"{query}>{document}": float(value.detach()) for (query, document), value in losses.items()}
                parts["views"] = torch.stack(list(losses.values())).mean()
        total = torch.stack([weights[name] * value for name, value in parts.items()]).sum()
        return total, {**{name: float(value.detach()) for name, value in parts.items()}, **seen}

    def save(self) -> None:
        """Write the run's state; the marker file comes last, so a killed run resumes from the last whole one."""
        state = {name: value.contiguous() for name, value in self.starter.state_dict().items()}
        save_file(state, self.folder / "weights.new")
        save_file(self.average, self.folder / "average.new")
        torch.save(self.optimizer.state_dict(), self.folder / "optimizer.new")
        (self.folder / "state.new").write_text(json.dumps(asdict(self.progress)), encoding="utf-8")
        for name, final in (
            ("weights.new", "weights.safetensors"),
            ("average.new", "average.safetensors"),
            ("optimizer.new", "optimizer.pt"),
            ("state.new", "state.json"),
        ):
            (self.folder / name).replace(self.folder / final)

    def calibrated(self, starter: Starter, seconds: float) -> Starter:
        """The network with its projection refitted in closed form, on states collected for `seconds`."""
        _, stage = self.settings.plan[-1]
        batches = Batches(
            self.corpus, self.tokenizer, self.characters, self.fonts, self.settings.plan,
            Team(1, 0).done, self.settings.seed,
        )  # fmt: skip
        with torch.no_grad():
            starter.projection.weight.copy_(closed_form(collect(starter, batches, stage, seconds)))
        return starter

    def averaged(self) -> Starter:
        """A copy of the network with the moving average of its weights."""
        starter = Starter(build_model(self.tokenizer, self.settings.shape), len(self.characters))
        starter.load_state_dict(self.average)
        return starter.eval()

    def _first_codes(self) -> Tensor:
        codes = letter_codes(self.tokenizer, self.settings.shape.hidden)
        batches = Batches(
            self.corpus, self.tokenizer, self.characters, self.fonts, self.settings.plan,
            Team(1, 0).done, self.settings.seed,
        )  # fmt: skip
        return whitened(codes * rarity(self.tokenizer, self.corpus)[:, None], self.tokenizer, start_texts(batches))

    def _fit(self, batches: Batches) -> None:
        """Before matching: cells in the size of what they tell. All processes of a team come to the same weights."""
        stage = next(stage for _, stage in self.settings.plan if not stage.frozen)
        self.starter.load_state_dict(self.average)  # reading ends here: its average is better than its last step
        explained = fit_merger(self.starter, batches, replace(stage, crops=24, easy=False), self.settings.fit_batches)
        self.progress.fitted = True
        self.average = {name: value.detach().clone() for name, value in self.starter.state_dict().items()}
        print(f"cells explain {explained:.3f} of the codes under them", flush=True)

    def _restore(self) -> None:
        self.starter.load_state_dict(load_file(self.folder / "weights.safetensors"))
        self.average = load_file(self.folder / "average.safetensors")
        self.optimizer.load_state_dict(torch.load(self.folder / "optimizer.pt", weights_only=True))
        self.progress = Progress(**json.loads((self.folder / "state.json").read_text(encoding="utf-8")))

    def _tokenizer(self) -> PreTrainedTokenizerBase:
        folder = self.folder / "tokenizer"
        if not folder.exists():
            train_tokenizer(balanced_texts(self.corpus), self.settings.vocabulary).save_pretrained(folder)
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        return tokenizer

    def _character_loss(self, flat: Tensor, places: Tensor, watch: bool) -> tuple[Tensor, float | None]:
        """Characters of slots, told from the batch's own characters and some random ones."""
        present, columns = torch.unique(places[:, 1], return_inverse=True)
        # Drawn from the step's number, so that a resumed run goes on as if it had not stopped.
        chance = torch.Generator().manual_seed(self.settings.seed + self.progress.step)
        others = torch.randint(0, len(self.characters), (300,), generator=chance)
        candidates = torch.cat([present, others[~torch.isin(others, present)]])
        scores = self.starter.character_scores(flat, candidates)
        targets = torch.stack([places[:, 0], columns], dim=1)
        blank = places[:, 1] == BLANK
        # Most slots are empty; what is empty is learned at once and must not drown the rest.
        loss = bag_cross_entropy(scores, targets[~blank]) + 0.15 * bag_cross_entropy(scores, targets[blank])
        return loss, bag_recall(scores.detach().float(), targets[~blank]) if watch else None

    def _word_loss(self, cells: Tensor, crops: CropBatch) -> tuple[Tensor, Tensor]:
        """Each cell against the codes of the tokens under it: told from the batch's other cells, and in its size.

        A page's vector is the mean of its cells. The codes are only a target: words stay where they are while the
        vision tower learns to read them.
        """
        codes = self.starter.codes()
        tokens = crops.reading.ids.flatten()[crops.under[:, 0]]
        under = torch.stack([torch.arange(len(tokens)), crops.under[:, 1]], dim=1)
        seen = cells.flatten(0, 1).float() - self.starter.constant()
        told = cell_info_nce(seen, codes[tokens], under, tokens, self.settings.temperature)
        return told, cell_error(seen, codes[tokens], under)

    def _view_losses(self, crops: CropBatch, cells: Tensor) -> dict[tuple[str, str], Tensor]:
        """Contrastive losses between a crop's views: image, second image, span, whole text, image with text."""
        starter = self.starter
        grid = _grid(crops.pixels)
        start, nothing = torch.zeros((len(cells), 0), dtype=torch.long), torch.zeros(len(cells), dtype=torch.long)
        whole, span = crops.whole, crops.span
        views = {
            "image": starter.embed(start, nothing, cells, grid),
            "whole": starter.embed(whole.ids, whole.lengths),
            "span": starter.embed(span.ids, span.lengths),
        }
        routes = ROUTES
        if crops.second is not None:
            grid = _grid(crops.second)
            with torch.set_grad_enabled(not crops.frozen):
                again = starter.look(crops.second)
            views["joint"] = starter.embed(whole.ids, whole.lengths, cells, _grid(crops.pixels))
            views["second"] = starter.embed(start, nothing, again, grid)
            views["asked"] = starter.embed(span.ids, span.lengths, again, grid)
            routes = ROUTES + SECOND_ROUTES
        documents = [kind for kind in views if kind != "asked"]
        return mixed_info_nce(views, routes, documents, self.settings.temperature, len(cells) - crops.pictures)

    def _rate(self, done: float) -> float:
        """Warm-up, level for a third of the time, then a line down to 5 %: whole pages still need steps that count."""
        warm = min(1.0, (self.progress.step + 1) / self.settings.warmup_steps)
        return warm * (1 - 0.95 * min(1.0, max(0.0, (done - 0.3) / 0.7)))

    def _clip(self) -> Tensor:
        """Clip the vision tower apart from the rest: text gradients, large at first, must not shrink its steps."""
        visual = list(self.starter.model.visual.parameters())
        mine = {id(p) for p in visual}
        rest = [p for p in self.starter.parameters() if id(p) not in mine]
        norms = [torch.nn.utils.clip_grad_norm_(part, 1.0) for part in (visual, rest)]
        total: Tensor = torch.stack(norms).norm()
        return total

    def _move_average(self) -> None:
        # Early weights must not linger: the window grows with the run.
        keep = min(self.settings.average, (1 + self.progress.step) / (10 + self.progress.step))
        with torch.no_grad():
            for name, value in self.starter.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)

    def _log(self, done: float, sums: dict[str, list[float]], seconds: float) -> None:
        means = {key: round(sum(values) / len(values), 4) for key, values in sums.items()}
        line: dict[str, Any] = {
            "step": self.progress.step,
            "done": round(done, 4),
            "minutes": round(self.progress.elapsed / 60, 2),
            "seconds_a_step": round(seconds / self.settings.log_every, 3),
            **means,
        }
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(" ".join(f"{key} {value}" for key, value in line.items()), flush=True)


def start(texts: Path, folder: Path, settings: Settings, font_folders: Sequence[Path]) -> Run:
    """A new run, or the one already in `folder`."""
    return Run(folder, read_corpus(texts), settings, Fonts.find(font_folders))


def _grid(pixels: Tensor) -> tuple[int, int]:
    return pixels.shape[1] // CELL, pixels.shape[2] // CELL


def _parameter_groups(starter: Starter, decay: float) -> list[dict[str, Any]]:
    """No decay for vectors (norms, biases) and the embedding table: a rare token must not fade."""
    matrices = [p for name, p in starter.named_parameters() if p.ndim >= 2 and "embed_tokens" not in name]
    rest = [p for name, p in starter.named_parameters() if p.ndim < 2 or "embed_tokens" in name]
    return [{"params": matrices, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
