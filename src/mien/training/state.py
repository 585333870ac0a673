"""All that a fit needs to go on as if nothing had happened, and how it reaches the disk."""

import random
from dataclasses import dataclass, field, fields
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises; nothing here unpickles
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.config import MienError
from mien.manifest.tables import whole
from mien.training.ranks import gather_rows, mean_over_ranks

FORMAT = 1


@dataclass
class Progress:
    """Where a fit stands, and what it has gathered there; plain numbers and tensors only."""

    phase: int = 0  # number of the phase that is under way
    epoch: int = 0  # of that phase; the epoch under way
    step: int = 0  # steps done in that epoch
    labels: list[int] = field(default_factory=list)  # labels of each phase begun so far
    sums: dict[str, float] = field(default_factory=dict)  # of the loss terms over the steps of the epoch
    best_loss: float | None = None
    best_epoch: int = -1
    best_weights: dict[str, Tensor] | None = None
    seconds: float = 0.0  # spent on the epoch under way

    def state(self) -> "State":
        """The fields by name; tensors are not copied."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


State = dict[str, Any]
"""Nested dicts and lists of tensors, numbers and strings: torch.load(weights_only=True) reads it back."""


def write_state(state: State, path: Path) -> None:
    """Write a state whole or not at all. MienError: it cannot be written, as on a full disk."""
    try:
        with whole(path) as scratch:
            torch.save(state, scratch)
    except (OSError, RuntimeError) as error:  # torch's own words for a full disk name no errno
        raise MienError(
            f"{path.parent} cannot take a checkpoint ({str(error).splitlines()[0]}); make room there and run "
            "again, which goes on from the last one."
        ) from error


def read_state(path: Path) -> State:
    """Read a state without running code. MienError names the file."""
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, UnpicklingError, RuntimeError, EOFError) as error:
        raise MienError(
            f"{path} is not a readable checkpoint ({error}); delete it to start again."
        ) from error
    if state.get("format") != FORMAT:
        raise MienError(f"{path} is a checkpoint of another version of mien; delete it to start again.")
    return state


def of_all_ranks(state: State, device: torch.device) -> State:
    """A state within an epoch with what ranks have apart: the mean of their sums, and each one's generator.

    Collective. At the end of an epoch ranks have nothing apart: sums are told, and generators seeded anew.
    """
    progress = state["progress"]
    sums = mean_over_ranks(progress["sums"], device)
    generators = gather_rows(state["random"]["torch"][None].to(device)).cpu()
    return {**state, "progress": {**progress, "sums": sums}, "generators": generators}


def of_rank(state: State, rank: int) -> State:
    """The state that a rank goes on from: its own generator where `of_all_ranks` has kept it."""
    generators = state.get("generators")
    if generators is None or rank >= len(generators):
        return state
    return {**state, "random": {**state["random"], "torch": generators[rank].clone()}}


def random_state() -> State:
    """The states of torch's, CUDA's, NumPy's and Python's generators of this process."""
    numpy = np.random.get_state(legacy=False)
    assert isinstance(numpy, dict)
    inner = {name: int(value) for name, value in numpy["state"].items() if name != "key"}
    words = torch.from_numpy(numpy["state"]["key"].astype(np.int64))
    version, integers, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": {**numpy, "gauss": float(numpy["gauss"]), "state": {"key": words, **inner}},
        "python": [version, list(integers), gauss],
    }


def restore_random(state: State) -> None:
    """Put the generators back."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    inner = state["numpy"]["state"]
    np.random.set_state({**state["numpy"], "state": {**inner, "key": inner["key"].numpy().astype(np.uint32)}})
    version, integers, gauss = state["python"]
    random.setstate((version, tuple(integers), gauss))
