"""Of several checkpoints the newest whole one counts."""

import resource
from pathlib import Path

import pytest
import torch

from mien.cluster import checkpoints
from mien.cluster.checkpoints import Checkpoint, keep, load, newest
from mien.config import MienError
from mien.config.train import Cell
from mien.training.state import FORMAT
from mien.training.storage import Storage


def checkpoint(epoch: int) -> Checkpoint:
    state = {"format": FORMAT, "model": {"weight": torch.full((3,), float(epoch))}}
    return Checkpoint(Cell(1, 2), [("fer", epoch, "train_loss", 0.5)], 7.0, state)


@pytest.fixture
def group(tmp_path: Path) -> Storage:
    """Of three checkpoints the newer two."""
    for epoch in range(3):
        keep(Storage(str(tmp_path)), checkpoint(epoch))
    return Storage(str(tmp_path))


def test_two_are_kept_and_the_newest_is_read_back(group: Storage):
    group.write_json("another.json", {})
    first, second = [name for name in group.names() if name.startswith("checkpoint_")]
    assert newest(group) == second
    for epoch, name in ((1, first), (2, second)):
        found = load(group, name)
        assert found is not None
        assert (found.cell, found.curves) == (Cell(1, 2), [("fer", epoch, "train_loss", 0.5)])
        assert found.seconds == 7.0
        torch.testing.assert_close(found.state["model"]["weight"], torch.full((3,), float(epoch)))


@pytest.mark.parametrize("harm", ["cut off", "no seal"])
def test_a_torn_one_is_passed_over(group: Storage, tmp_path: Path, harm: str):
    first, second = group.names()
    if harm == "cut off":
        state = tmp_path / second / checkpoints.STATE
        state.write_bytes(state.read_bytes()[:-10])
    else:
        (tmp_path / second / "seal.json").unlink()
    assert newest(group) == first
    if harm == "cut off":
        assert load(group, second) is None


def test_where_no_checkpoint_fits_the_one_before_stays_and_nothing_else(group: Storage, tmp_path: Path):
    before = group.names()
    large = checkpoint(3)
    large.state["model"]["weight"] = torch.zeros(50_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # no file may be larger: as on a full disk
    try:
        with pytest.raises(MienError, match=r"cannot take a checkpoint \(.*make room there"):
            keep(group, large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert group.names() == before
    assert newest(group) == before[-1]
