"""A frozen network that others learn from: where its knowledge comes from, and how it reads pictures."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mien.config import Section
from mien.parts.augment import Augmentation

TeacherFrom = Literal["file", "trained", "random"]
IMAGENET_MEAN, IMAGENET_SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's, RGB in 0..1
IMAGENET_RANGE = 4.7579  # from black in red, -2.1179, to white in blue, 2.6400


class TeacherTraining(Section):
    """The phase that stands in for ImageNet: the teacher learns to tell people apart."""

    corpus: str | None = None  # None: the training part, so that the teacher sees no alien face either
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    augmentation: Augmentation = Augmentation()


def imagenet(pixels: Tensor) -> Tensor:
    """Standardise as torchvision's ImageNet weights want it: pixels (N, 3, H, W) in 0..255, RGB."""
    mean, spread = (
        torch.tensor(v, device=pixels.device)[None, :, None, None] for v in (IMAGENET_MEAN, IMAGENET_SPREAD)
    )
    return (pixels / 255 - mean) / spread


def told(source: TeacherFrom, sha256: str | None, training: TeacherTraining) -> str:
    """Where the teacher's knowledge came from, for the record; loud where it was not ImageNet."""
    if source == "file":
        return f"file {sha256}"
    if source == "random":
        return "NOT PRE-TRAINED: random weights"
    people = f"corpus {training.corpus}" if training.corpus else "the training part alone"
    return f"NOT IMAGENET: trained here to tell apart the people of {people}"
