"""The recipe's own loop: the vision tower learns to read characters and the codes of words, by wall clock.

State (weights, optimizer, elapsed time, step) is saved every few minutes in the run folder; the same command resumes.
"""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from trainer.starter.calibrate import closed_form, collect
from trainer.starter.codes import fit_merger, lay_in, letter_codes, rarity, start_texts, whitened
from trainer.starter.corpus import Corpus, balanced_texts
from trainer.starter.losses import (
    bag_cross_entropy,
    bag_recall,
    cell_error,
    cell_info_nce,
)
from trainer.starter.model import Shape, Starter, build_model
from trainer.starter.render import Fonts
from trainer.starter.samples import BLANK, Batches, CharacterSet, CropBatch, Stage
from trainer.starter.team import Team
from trainer.starter.tokenizer import train_tokenizer

# (share of the time at which the stage ends, stage). Small crops, few fonts and large letters first.
PLAN: tuple[tuple[float, Stage], ...] = (
    (0.25, Stage("easy", 12, (224, 224), 6, (14, 22), True)),
    (0.90, Stage("characters", 12, (224, 224), 6, (12, 22), False)),
    (1.00, Stage("strips", 2, (504, 728), 1, (12, 20), False)),
)
# What the last two closed forms are fitted on: crops for the vision tower's last layer, whole pages for the projection.
FIT = Stage("fit", 24, (224, 224), 6, (12, 22), False)
PAGES = Stage("pages", 7, (1036, 728), 1, (11, 17), False, 48, (840, 588), whole_pages=True)


@dataclass(frozen=True)
class Settings:
    """Everything a run depends on beside its texts."""

    minutes: float = 70.0
    peak_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 60
    temperature: float = 0.05
    average: float = 0.998  # of the weights kept for the result (moving average)
    fit_batches: int = 30  # of 24 crops, for the least squares of the vision tower's last layer
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
        # Reading leaves words alone: not even weight decay may touch what the codes rest on.
        for part in (self.starter.model.language_model, self.starter.projection):
            part.requires_grad_(False)
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
            crops = next(loader)
            waited = time.monotonic() - began
            for group in self.optimizer.param_groups:
                group["lr"] = settings.peak_rate * self._rate(done)
            watch = self.progress.step % settings.log_every == 0
            loss, parts = self.loss(crops, watch)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            done = team.average(self.starter, self.progress.elapsed / total)
            norm = self._clip()
            if torch.isfinite(norm):
                self.optimizer.step()
                if team.rank == 0:
                    self._move_average()
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

    def loss(self, crops: CropBatch, watch: bool = False) -> tuple[Tensor, dict[str, float]]:
        """Sum of the losses of one batch, and its parts for the log."""
        parts: dict[str, Tensor] = {}
        seen: dict[str, float] = {}
        weights = {"characters": 1.0, "words": 1.0, "error": 0.03}
        with torch.autocast("cpu", torch.bfloat16):
            cells = self.starter.look(crops.pixels)
            parts["characters"], recall = self._character_loss(cells.flatten(0, 1), crops.characters, watch)
            if recall is not None:
                seen["recall"] = recall
            if len(crops.under):
                parts["words"], parts["error"] = self._word_loss(cells, crops)
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

    def refitted(self, starter: Starter) -> float:
        """Fit a network's last vision layer to its codes; the share of their energy that cells then explain."""
        return fit_merger(starter, self._batches(), FIT, self.settings.fit_batches)

    def calibrated(self, starter: Starter, seconds: float) -> Starter:
        """The network with its projection refitted in closed form, on states collected for `seconds`."""
        with torch.no_grad():
            starter.projection.weight.copy_(closed_form(collect(starter, self._batches(), PAGES, seconds)))
        return starter

    def averaged(self) -> Starter:
        """A copy of the network with the moving average of its weights."""
        starter = Starter(build_model(self.tokenizer, self.settings.shape), len(self.characters))
        starter.load_state_dict(self.average)
        return starter.eval()

    def _first_codes(self) -> Tensor:
        codes = letter_codes(self.tokenizer, self.settings.shape.hidden) * rarity(self.tokenizer, self.corpus)[:, None]
        return whitened(codes, self.tokenizer, start_texts(self._batches()))

    def _batches(self) -> Batches:
        done = Team(1, 0).done
        return Batches(
            self.corpus, self.tokenizer, self.characters, self.fonts, self.settings.plan, done, self.settings.seed
        )

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

    def _rate(self, done: float) -> float:
        """Warm-up, level for a third of the time, then a line down to 5 %: whole pages still need steps that count."""
        warm = min(1.0, (self.progress.step + 1) / self.settings.warmup_steps)
        return warm * (1 - 0.95 * min(1.0, max(0.0, (done - 0.3) / 0.7)))

    def _clip(self) -> Tensor:
        """Clip the vision tower apart from the heads: their gradients, large at first, must not shrink its steps."""
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


def _parameter_groups(starter: Starter, decay: float) -> list[dict[str, Any]]:
    """No decay for vectors: norms and biases."""
    trained = [p for p in starter.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim >= 2]
    rest = [p for p in trained if p.ndim < 2]
    return [{"params": matrices, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
