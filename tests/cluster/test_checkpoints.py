"""Of several checkpoints the newest whole one counts."""

from pathlib import Path

import pytest
import torch

from mien.cluster import checkpoints
from mien.cluster.checkpoints import Checkpoint, load, mend, newest, written
from mien.config.train import Cell
from mien.training.state import FORMAT
from mien.training.storage import Storage

SNAPSHOT = "checkpoint_manager_snapshot.json"


def checkpoint(epoch: int) -> Checkpoint:
    state = {"format": FORMAT, "model": {"weight": torch.full((3,), float(epoch))}}
    return Checkpoint(Cell(1, 2), [("fer", epoch, "train_loss", 0.5)], 7.0, state)


@pytest.fixture
def group(tmp_path: Path) -> Storage:
    """Three checkpoints, named by time as Ray names them."""
    for epoch in range(3):
        with written(checkpoint(epoch)) as folder:
            Storage(str(tmp_path)).put(folder, f"checkpoint_2026-01-01_00-00-0{epoch}.000000")
    return Storage(str(tmp_path))


def test_the_newest_is_read_back(group: Storage):
    group.write_json(SNAPSHOT, {"checkpoint_results": []})  # Ray's own list stands beside them
    name = newest(group)
    assert name is not None
    assert name.endswith("02.000000")
    found = load(group, name)
    assert found is not None
    assert (found.cell, found.curves, found.seconds) == (Cell(1, 2), [("fer", 2, "train_loss", 0.5)], 7.0)
    torch.testing.assert_close(found.state["model"]["weight"], torch.full((3,), 2.0))


def test_a_torn_one_is_passed_over(group: Storage, tmp_path: Path):
    names = [name for name in group.names() if name.startswith("checkpoint_")]
    state = tmp_path / names[2] / checkpoints.STATE
    state.write_bytes(state.read_bytes()[:-10])
    (tmp_path / names[1] / "seal.json").unlink()
    assert newest(group) == names[0]
    assert load(group, names[2]) is None


def test_rays_list_is_kept_while_it_is_right_and_removed_when_it_is_torn(group: Storage, tmp_path: Path):
    names = [name for name in group.names() if name.startswith("checkpoint_")]
    group.write_json(SNAPSHOT, {"checkpoint_results": [{"checkpoint_dir_name": names[2]}]})
    mend(group)
    assert SNAPSHOT in group.names()
    (tmp_path / names[2] / "seal.json").unlink()
    mend(group)
    assert SNAPSHOT not in group.names()
    (tmp_path / SNAPSHOT).write_text('{"checkpoint_res')
    mend(group)
    assert SNAPSHOT not in group.names()
    mend(group)
