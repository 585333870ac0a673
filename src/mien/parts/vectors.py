"""Faces as vectors, for the one-class methods that solve instead of descending."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor, nn

from mien.config import MienError
from mien.parts.augment import uniform
from mien.parts.pictures import contrast_normalise, resize
from mien.shards.batch import Batch

ROUNDING = 1e-3  # of a resize, in 0..255

Vectors = NDArray[np.float64]


def contrast_vectors(faces: Tensor, side_px: int, window: float = 1.0) -> Tensor:
    """Contrast-normalised RGB, flat: faces (N, 3, H, W) uint8 -> (N, 3 * side_px ** 2) of mean 0.

    In float64 within: an error in a face's mean would move every element the same way.
    """
    return contrast_normalise(resize(faces, side_px, window).double(), ROUNDING).flatten(1).float()


def gather(
    batches: Iterable[Batch], vectors: Callable[[Tensor], Tensor], max_faces: int, method: str
) -> Vectors:
    """Vectors of the whole training part (n, D), or of `max_faces` of it that the faces' own seeds draw.

    MienError names the face whose vector is not finite or has no contrast, or says that all faces are alike.
    """
    keys: list[str] = []
    kept, draws = torch.zeros(0), torch.zeros(0)
    for batch in batches:
        rows = torch.cat([kept, vectors(batch.faces).cpu()]) if len(kept) else vectors(batch.faces).cpu()
        draws, keys = torch.cat([draws, uniform(batch.seed, 1)[:, 0].cpu()]), keys + list(batch.keys)
        stay = draws.argsort(stable=True)[:max_faces].sort().values
        kept, draws, keys = rows[stay], draws[stay], [keys[i] for i in stay.tolist()]
    refuse_unusable(kept, keys, method)
    return kept.numpy().astype(np.float64)


def refuse_unusable(vectors: Tensor, keys: list[str], method: str) -> None:
    """MienError: a vector that is not finite, a face without contrast, faces that are all alike, or none."""
    if not len(vectors):
        raise MienError(f"{method}: no training face; make fewer folds.")
    for row, key in zip(vectors, keys, strict=True):
        if not row.isfinite().all():
            place = int((~row.isfinite()).nonzero()[0])
            raise MienError(f"{method}: feature {place} of training face {key} is {float(row[place])}.")
        if row.min() == row.max():
            raise MienError(f"{method}: all features of training face {key} are equal; it has no contrast.")
    if len(vectors) > 1 and (vectors == vectors[0]).all():
        raise MienError(
            f"{method}: every feature is constant over {len(keys)} training faces, from {keys[0]} "
            f"to {keys[-1]}; there is nothing to learn from copies of one face."
        )


class Fitted(nn.Module):
    """A module of buffers whose sizes the data decide: `load_state_dict` takes the file's sizes."""

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *rest: Any, **named: Any
    ) -> None:
        for name, own in list(self.named_buffers(recurse=False)):
            found = state_dict.get(prefix + name)
            if isinstance(found, Tensor) and found.shape != own.shape:
                setattr(self, name, own.new_zeros(found.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest, **named)

    def keep(self, **values: Any) -> None:
        """Replace buffers by new values, on the device and in the type of the old ones."""
        for name, value in values.items():
            own: Tensor = getattr(self, name)
            setattr(self, name, torch.as_tensor(value).to(own).contiguous())


class Principal(Fitted):
    """The principal components that hold a share of the training vectors' variance; nothing is whitened."""

    mean: Tensor  # (D,)
    components: Tensor  # (K, D)

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("components", torch.zeros(0, size))

    def solve(self, vectors: Vectors, share: float) -> Vectors:
        """Fit on vectors (n, D) in float64 and return their projections (n, K); a single face gives zeros."""
        if len(vectors) < 2:
            self.keep(mean=vectors[0], components=np.zeros((1, vectors.shape[1])))
            return np.zeros((len(vectors), 1))
        found = PCA(n_components=share, svd_solver="full").fit(vectors)
        self.keep(mean=found.mean_, components=found.components_)
        projected: Vectors = found.transform(vectors)
        return projected

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, D) -> (N, K)."""
        return (vectors - self.mean) @ self.components.T
