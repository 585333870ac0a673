"""All that the loop may know of a method."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mien.config import Section
from mien.parts.schedule import HalveAndReload
from mien.shards.batch import Batch

Schedule = LRScheduler | ReduceLROnPlateau | HalveAndReload

UPPER_BOUND = "upper bound"
"""Key of a record whose method was given what nobody has, such as test labels; it says what."""


@dataclass(frozen=True)
class Phase:
    """A stretch of a run that trains one set of parameters on one kind of batch.

    With `label="subject"` the classes are people, and validation holds other pictures of the same people.
    """

    name: str
    epochs: int
    batch_size: int  # of the global batch, over all ranks
    label: Literal["expression", "subject"] = "expression"  # what Batch.label holds
    corpus: str | None = None  # None: the experiment's own; else a name of `corpora`, read whole
    # best: the weights of the epoch with the lowest validation loss, or with the highest validation accuracy
    keep: Literal["last", "best", "most_accurate"] = "last"
    balanced: bool = False  # equally many faces of each label in every batch; rare ones come again
    people: bool = False  # with balanced: a batch's faces of each label are of the same few people
    classes: tuple[str, ...] | None = None  # whose numbers Batch.label holds; None: the method's
    beside: str | None = None  # a corpus of `corpora` that is read beside it: Batch.beside, labels are people
    beside_batch: int = 0  # of the global batch beside it
    fits: bool = False  # no gradients: `fit` is called once with the whole training part


class Method(nn.Module, ABC):
    """A method: networks, losses, optimisers and prediction, but no loop and no data.

    `forward` holds the loss, because DDP synchronises only what passes through it.
    """

    Config: ClassVar[type[Section]]
    paper: ClassVar[str]  # a citation in a line
    needs: frozenset[str] = frozenset({"faces", "label"})  # the Batch fields it reads
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # the paper's other networks: name -> settings
    input_px: int  # side of the square that faces are resized to, at the settings in force
    heat_layers: tuple[str, ...] = ()  # modules, by path and last first, to draw heat maps of
    scores: tuple[str, ...] = ()  # one-class only: alien scores of `predict`, headline first

    def __init__(self, config: Section, classes: Sequence[str]) -> None:
        super().__init__()
        self.config = config
        self.classes = tuple(classes)

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """What is trained, in order."""

    @abstractmethod
    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities (N, C), rows summing to 1; preprocessing inside.

        A one-class method, built with the normal class alone and trained on its faces alone, gives alien
        scores (N, len(scores)) instead: the larger, the less a face is of the normal class.
        """

    def at_once(self, batch: Batch) -> Tensor:
        """As `predict`, with no loop over faces or look at their number: what an exported file computes."""
        return self.predict(batch)

    @classmethod
    def files(cls, config: Section) -> Mapping[str, Path]:
        """Files that must be on the disk before training, by the setting that names them."""
        return {}

    def start(self, phase: Phase, labels: int) -> None:
        """Make ready for a phase whose training part has `labels` different labels (new heads, frozen parts).

        On resume, `start` and `finish` of phases that are over are called again before weights are restored.
        """

    def finish(self, phase: Phase) -> None:
        """Drop what only that phase needed, before the next phase and before weights are saved."""

    def refresh(self, batches: Callable[[], Iterable[Batch]], phase: Phase, epoch: int) -> None:
        """Compute anew, before an epoch, what rests on the whole training part (a centre); in eval mode.

        Each call of `batches` gives one pass in order. Every rank sees all. Keep the outcome in buffers.
        """

    def turns(self, phase: Phase, step: int) -> Sequence[str]:
        """The turns of one step, in order; one for all but adversarial methods."""
        return ("all",)

    def moved_by(self, phase: Phase, turn: str) -> Iterable[nn.Parameter]:
        """The parameters that a turn moves; the loop freezes those that no turn of the phase moves."""
        return self.parameters()

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """The optimiser over `moved_by(phase, turn)`. A phase that `fits` has none."""
        raise TypeError(f"{type(self).__name__} has no optimiser for phase {phase.name}")

    def schedule(self, phase: Phase, turn: str, optimizer: Optimizer) -> Schedule | None:
        """Stepped once an epoch, after validation; a plateau schedule sees the validation loss.

        HalveAndReload sees all figures, and goes back to the weights that the phase keeps.
        """
        return None

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Weighted scalar loss terms of a turn; their sum is minimised."""
        raise TypeError(f"{type(self).__name__} has no loss in phase {phase.name}")

    def validate(self, batch: Batch, phase: Phase) -> tuple[dict[str, Tensor], Tensor | None]:
        """Loss terms of a held-out batch, in eval mode, and scores (N, labels) for the phase's labels.

        No scores where the labels are people or of one class. To be overridden where one pass gives both.
        """
        terms: dict[str, Tensor] = {}
        if not phase.fits:
            for turn in self.turns(phase, 0):
                terms |= self(batch, phase, turn)
        return terms, self.predict(batch) if phase.label == "expression" and not self.scores else None

    def figures(self, phase: Phase) -> Mapping[str, float]:
        """What an epoch has shown besides its losses (a keep rate), asked once when it has been validated.

        Every rank asks; their answers must be equal.
        """
        return {}

    def fit(self, batches: Iterable[Batch], phase: Phase) -> None:
        """Solve a phase that `fits` from one pass over the whole training part, in eval mode."""
        raise TypeError(f"{type(self).__name__} is trained by gradients, not by fit")

    def examine(self, batches: Iterable[Batch]) -> Mapping[str, float]:
        """Figures of the test part besides its answers, from one pass in order, in eval mode, after training.

        One rank asks, and puts them into the record.
        """
        return {}

    def record(self) -> dict[str, Any]:
        """Facts of this run that a reader of its results must know (stem: random, weights' digest, ...)."""
        return {}
