"""One optimizer step's gradient over a contrastive batch of any size, in the memory of one chunk."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from trainer.gather import gather_batch, largest, world_size
from trainer.objective import EmbeddedBatch, LossReport, Objective

if TYPE_CHECKING:
    from trainer.loading import Chunk, StepBatch

Embed: TypeAlias = Callable[[dict[str, Tensor]], Tensor]
Span: TypeAlias = Callable[[], AbstractContextManager[object]]

# What a rank embeds while others still have chunks: one token, whose vector goes nowhere.
_DUMMY = {"input_ids": 0, "attention_mask": 1, "mm_token_type_ids": 0}


@dataclass(frozen=True)
class _Piece:
    """One forward: a chunk, or None for a dummy, and where its vectors belong among the rank's queries (first),
    positives and negatives.
    """

    chunk: "Chunk | None"
    slots: Tensor


class GradCache:
    """Gradients of the whole global batch, chunk by chunk.

    Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup": embed all chunks without
    a graph; compute the loss over all vectors of all ranks and its gradient for each vector; embed every chunk again,
    now with a graph, and push its vectors' gradient through. Random numbers are replayed, so that both passes drop out
    the same units. The result is the gradient of the one big batch, up to rounding.

    Every rank computes the same loss from the same gathered vectors and backpropagates its own rows times the number of
    ranks, because DDP and FSDP average gradients over ranks. Ranks with fewer chunks embed dummies, so that the
    forward and backward collectives of FSDP and ZeRO-3 line up; only the last chunk's backward synchronises.

    Args:
        embed: the (wrapped) network: collated inputs to unit vectors, float32 [rows, D]. It must use all of its
            parameters whatever the chunk holds (a text-only one too), or DDP raises and ZeRO-3 hangs.
        objective: what is minimised.
        device: where chunks are embedded.
        backward: replaces `Tensor.backward`, such as `accelerator.backward`. It must not scale the loss.
        no_sync: context in which a backward leaves gradients on their rank, such as `ddp.no_sync`; by default all
            chunks synchronise, which costs time and changes nothing.
    """

    def __init__(
        self,
        embed: Embed,
        objective: Objective,
        *,
        device: torch.device | str = "cpu",
        backward: Callable[[Tensor], object] = Tensor.backward,
        no_sync: Span = nullcontext,
    ) -> None:
        self.embed = embed
        self.objective = objective
        self.device = torch.device(device)
        self._backward = backward
        self._no_sync = no_sync

    def step(self, step: "StepBatch") -> LossReport:
        """Add this step's gradient to the parameters' `.grad`. All ranks must call it, with or without samples.

        Returns:
            The report of the global batch, equal on all ranks, without gradient.

        Raises:
            ValueError: the chunks do not hold every query, positive and negative of the step exactly once.
        """
        pieces = _pieces(step)
        # At least one, so that a step without any sample (all were bad) still gives every parameter a gradient.
        most = max(1, largest(len(pieces), self.device))
        if len(pieces) == 1 and world_size() == 1:
            return self._in_one_pass(step, pieces[0])
        pieces += [_Piece(None, torch.zeros(0, dtype=torch.int64))] * (most - len(pieces))
        own_ND, states = self._first_pass(step, pieces)
        report, gradient_ND = self._loss(_embedded(step, own_ND))
        del own_ND  # of a batch of thousands, the vectors are more than a small chunk's graph
        for number, (piece, state) in enumerate(zip(pieces, states, strict=True)):
            gradient_RD = gradient_ND[piece.slots.to(self.device)]
            if piece.chunk is None:  # a dummy's one vector
                gradient_RD = gradient_ND.new_zeros(1, gradient_ND.shape[1])
            state.restore()
            with nullcontext() if number == len(pieces) - 1 else self._no_sync():
                # One expression: a name would keep this chunk's graph alive while the next one's is built.
                self._backward((self._vectors(piece) * gradient_RD).sum() * world_size())
        return report

    def _first_pass(self, step: "StepBatch", pieces: list["_Piece"]) -> tuple[Tensor, list["_RandomState"]]:
        """Vectors of all rows [N, D], without graph, and the random state before each piece."""
        own_ND = torch.zeros(0)
        states: list[_RandomState] = []
        for piece in pieces:
            states.append(_RandomState.now(self.device))
            with torch.no_grad(), self._no_sync():
                vectors_RD = self._vectors(piece)
            if not len(own_ND):
                own_ND = vectors_RD.new_zeros(2 * len(step.tasks) + len(step.owner), vectors_RD.shape[1])
            own_ND[piece.slots.to(self.device)] = vectors_RD[: len(piece.slots)]
        return own_ND, states

    def _vectors(self, piece: _Piece) -> Tensor:
        if piece.chunk is None:
            return self.embed({name: torch.tensor([[value]], device=self.device) for name, value in _DUMMY.items()})
        return self.embed(piece.chunk.to(self.device).inputs)

    def _in_one_pass(self, step: "StepBatch", piece: _Piece) -> LossReport:
        vectors = self._vectors(piece)
        report = self.objective(_embedded(step, vectors[piece.slots.argsort().to(self.device)]))
        self._backward(report.loss)
        return replace(report, loss=report.loss.detach())

    def _loss(self, own: EmbeddedBatch) -> tuple[LossReport, Tensor]:
        """The loss over all ranks' vectors, and its gradient for this rank's: queries, positives, negatives [N, D]."""
        whole, rows, negatives = gather_batch(own)
        leaves = [vectors.detach().requires_grad_() for vectors in (whole.queries, whole.positives, whole.negatives)]
        report = self.objective(replace(whole, queries=leaves[0], positives=leaves[1], negatives=leaves[2]))
        of_queries, of_positives, of_negatives = torch.autograd.grad(
            report.loss, leaves, allow_unused=True, materialize_grads=True
        )
        gradient = torch.cat([of_queries[rows], of_positives[rows], of_negatives[negatives]])
        return replace(report, loss=report.loss.detach()), gradient


def _pieces(step: "StepBatch") -> list[_Piece]:
    rows = len(step.tasks)
    pieces = [_Piece(chunk, chunk.kinds * rows + chunk.rows) for chunk in step.chunks]
    held = torch.cat([torch.zeros(0, dtype=torch.int64), *(piece.slots for piece in pieces)]).sort().values
    if not torch.equal(held, torch.arange(2 * rows + len(step.owner))):
        raise ValueError("the step's chunks do not hold each of its queries, positives and negatives exactly once")
    return pieces


def _embedded(step: "StepBatch", vectors_ND: Tensor) -> EmbeddedBatch:
    rows, place = len(step.tasks), vectors_ND.device
    return EmbeddedBatch(
        queries=vectors_ND[:rows],
        positives=vectors_ND[rows : 2 * rows],
        negatives=vectors_ND[2 * rows :],
        owner=step.owner.to(place),
        tasks=step.tasks.to(place),
        scores=step.scores.to(place),
        query_keys=step.query_keys.to(place),
        positive_keys=step.positive_keys.to(place),
        negative_keys=step.negative_keys.to(place),
        groups=step.groups.to(place),
        task_names=step.task_names,
    )


@dataclass(frozen=True)
class _RandomState:
    """What the next random numbers on the CPU and on the device (if it is another) will be."""

    cpu: Tensor
    device: torch.device
    on_device: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> "_RandomState":
        other = None if device.type == "cpu" else torch.get_device_module(device).get_rng_state()
        return cls(torch.get_rng_state(), device, other)

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.on_device is not None:
            torch.get_device_module(self.device).set_rng_state(self.on_device)
