"""What both readers promise; what only one of them does is in its own file."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mien.config import MienError
from mien.config.shard import Shard
from mien.shards.batch import Batch
from mien.shards.index import Index, read_index
from mien.shards.indexed import IndexedReader
from mien.shards.streaming import StreamingReader
from mien.shards.writer import write_shards
from tests.shards.painted import SMALL, people, picture, sharded

NEEDS = ("faces", "label", "points", "subject")
READERS = [IndexedReader, StreamingReader]
either = pytest.mark.parametrize("kind", READERS)


@pytest.fixture(scope="module")
def two_tars(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Fewer tars than ranks."""
    root = tmp_path_factory.mktemp("two")
    params = Shard(folds=3, samples_per_shard=30)
    return sharded("painted", **people().write(root / "in"), into=root / "shards", params=params)


def made(kind, index, rows=None, **more):
    if kind is StreamingReader:
        more.setdefault("window", 16)
    return kind(
        index, range(len(index)) if rows is None else rows, index.classes, more.pop("needs", NEEDS), **more
    )


def keys(batches) -> list[str]:
    return [key for batch in batches for key in batch.keys]


def check_content(index: Index, batch: Batch) -> None:
    """Every field of each face is that of its key."""
    row_of = {key: row for row, key in enumerate(index.keys)}
    people_of = sorted(set(index.subject))
    for n, key in enumerate(batch.keys):
        row = row_of[key]
        pixels = batch.faces[n].permute(1, 2, 0).numpy().astype(int)
        assert np.abs(pixels - picture(row)).mean() < 6  # JPEG at quality 95 of noise
        expected = index.classes.index(index.expression[row]) if index.expression[row] else -1
        assert batch.label[n] == expected
        assert people_of[batch.subject[n]] == index.subject[row]
        np.testing.assert_array_equal(batch.points[n].numpy(), index.points[row])


def test_kept_faces_come_as_decoded_ones_do(index):
    kept, fresh = made(IndexedReader, index, keep_mb=1), made(IndexedReader, index)
    for epoch in range(2):
        for one, other in zip(kept.batches(12, 1, epoch), fresh.batches(12, 1, epoch), strict=True):
            assert one.keys == other.keys
            assert torch.equal(one.faces, other.faces)
            assert torch.equal(one.seed, other.seed)
            assert one.total == other.total
    assert len(list(kept.in_order(20))) == 3
    kept._tars.read = None  # nothing is read any more
    assert keys(kept.in_order(20)) == index.keys.tolist()
    too_small = made(IndexedReader, index, keep_mb=0)
    list(too_small.in_order(20))
    assert too_small._kept is None


@either
def test_batches_hold_what_the_index_says(index, kind):
    reader = made(kind, index)
    batches = list(reader.batches(12, seed=1, epoch=0))
    assert len(batches) == reader.steps(12) == 4
    for batch in batches:
        assert batch.faces.shape == (12, 3, 48, 48)
        assert batch.faces.dtype == torch.uint8
        assert (batch.label.dtype, batch.seed.dtype, batch.subject.dtype) == (torch.int64,) * 3
        assert batch.points.dtype == torch.float32
        assert batch.total == 12
        check_content(index, batch)
    assert sorted(keys(batches)) == sorted(index.keys)
    assert reader.labels == 3
    assert len(reader) == 48


@either
@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")
@pytest.mark.parametrize("which", ["index", "two_tars"])
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_each_face_once_an_epoch_in_one_order_for_any_ranks_and_workers(request, kind, which, data):
    index = request.getfixturevalue(which)
    world = data.draw(st.integers(1, 5), label="ranks")
    workers = data.draw(st.integers(0, 3), label="workers")
    own = data.draw(st.integers(1, 4), label="faces a rank")
    seed, epoch = data.draw(st.integers(0, 99), label="seed"), data.draw(st.integers(0, 9), label="epoch")
    rows = data.draw(st.sets(st.integers(0, 47), min_size=world * own), label="rows")
    more = {"threads": workers + 1} if kind is IndexedReader else {"workers": workers, "threads": 1}
    reader = made(kind, index, rows, **more)
    ranks = [list(reader.batches(world * own, seed, epoch, rank, world)) for rank in range(world)]
    steps = len(rows) // (world * own)
    assert [len(batches) for batches in ranks] == [steps] * world
    assert all(len(batch) == own and batch.total == world * own for batches in ranks for batch in batches)
    together = [key for step in zip(*ranks, strict=True) for key in keys(step)]
    assert len(set(together)) == len(together) == steps * world * own
    assert set(together) <= set(index.keys[sorted(rows)])
    alone = list(made(kind, index, rows).batches(world * own, seed, epoch))
    assert keys(alone) == together
    seeds = {key: s for batch in alone for key, s in zip(batch.keys, batch.seed.tolist(), strict=True)}
    for batch in (batch for batches in ranks for batch in batches):
        assert batch.seed.tolist() == [seeds[key] for key in batch.keys]


@either
@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_evaluation_sees_every_face_once_whatever_the_ranks(two_tars, kind, world):
    reader = made(kind, two_tars, range(3, 46))
    ranks = [list(reader.in_order(10, rank, world)) for rank in range(world)]
    assert sorted(keys(batch for batches in ranks for batch in batches)) == sorted(two_tars.keys[3:46])
    if world == 1:
        assert keys(ranks[0]) == two_tars.keys[3:46].tolist()
    for batches in ranks:
        for batch in batches:
            assert batch.total == len(batch) > 0
            row_of = {key: row for row, key in enumerate(two_tars.keys)}
            np.testing.assert_array_equal(
                batch.points.numpy(), two_tars.points[[row_of[k] for k in batch.keys]]
            )


@either
def test_both_methods_give_the_same_pixels(index, kind):
    reader = made(kind, index)
    one = {k: f for b in reader.batches(8, 0, 0) for k, f in zip(b.keys, b.faces, strict=True)}
    for batch in reader.in_order(7):
        for key, face in zip(batch.keys, batch.faces, strict=True):
            assert torch.equal(face, one[key])


@either
@pytest.mark.parametrize("world", [1, 2])
def test_an_epoch_resumes_in_its_middle(index, kind, world):
    reader = made(kind, index)
    for rank in range(world):
        whole = list(reader.batches(6, 3, 2, rank, world))
        for start in (0, 1, 5, 7, 8):
            rest = list(reader.batches(6, 3, 2, rank, world, start=start))
            assert keys(rest) == keys(whole[start:])
            for a, b in zip(rest, whole[start:], strict=True):
                assert torch.equal(a.faces, b.faces)
                assert torch.equal(a.seed, b.seed)


@either
def test_epochs_and_seeds_differ_in_order_and_in_face_seeds(index, kind):
    reader = made(kind, index)
    orders, seeds = set(), []
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        batches = list(reader.batches(8, seed, epoch))
        orders.add(tuple(keys(batches)))
        seeds += [s for batch in batches for s in batch.seed.tolist()]
    assert len(orders) == 3
    assert len(set(seeds)) == 3 * 48


@either
def test_labels_may_be_people_numbered_within_the_part(index, kind):
    reader = made(kind, index, range(8, 24), label="subject")
    assert reader.labels == 4
    for batch in reader.batches(16, 0, 0):
        assert batch.label.tolist() == [int(key[1:4]) - 2 for key in batch.keys]


@either
def test_what_is_not_needed_is_not_loaded(index, kind, tmp_path):
    folder = Path(shutil.copytree(index.folder, tmp_path / "copy"))
    for tar in folder.glob("*.tar"):  # the pictures are gone, the landmarks are in the index
        tar.write_bytes(b"\0" * tar.stat().st_size)
    reader = made(kind, read_index(folder), needs=("label", "points"))
    batch = next(iter(reader.batches(48, 0, 0)))
    assert batch.subject is None
    assert batch.faces.shape == (48, 3, 0, 0)
    row_of = {key: row for row, key in enumerate(index.keys)}
    np.testing.assert_array_equal(batch.points.numpy(), index.points[[row_of[k] for k in batch.keys]])


@either
def test_a_part_without_faces_and_too_large_batches_are_refused(index, kind):
    with pytest.raises(MienError, match="no faces"):
        made(kind, index, [])
    with pytest.raises(MienError, match="only 48 faces"):
        next(iter(made(kind, index).batches(49, 0, 0)))
    with pytest.raises(MienError, match="does not divide over 5"):
        next(iter(made(kind, index).batches(48, 0, 0, world=5)))
    with pytest.raises(ValueError, match="not a field of Batch: smell"):
        made(kind, index, needs=("faces", "smell"))


@either
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("keep", [0.0, 0.45, 0.98])
def test_a_tar_that_is_cut_off_names_itself_and_the_last_good_key(index, kind, workers, keep, tmp_path):
    folder = Path(shutil.copytree(index.folder, tmp_path / "copy"))
    tar = folder / "painted-000002.tar"
    payload = max(
        r["json_offset"] + r["json_size"] for r in index.table.to_pylist() if r["shard"] == tar.name
    )
    size = int(payload * keep)
    tar.write_bytes(tar.read_bytes()[:size])
    rows = [r for r in index.table.to_pylist() if r["shard"] == tar.name]
    good = [r["key"] for r in rows if r["json_offset"] + r["json_size"] <= size]
    expected = f"the last good key is {good[-1]};" if good else "no key in it is whole;"
    more = {"workers": workers} if kind is StreamingReader else {"threads": workers + 1}
    with pytest.raises(MienError, match=rf"painted-000002\.tar is cut off after {size} bytes, {expected}"):
        list(made(kind, read_index(folder), **more).batches(8, 0, 0))


@either
def test_a_tar_that_shrinks_under_a_running_job_raises(index, kind, tmp_path):
    folder = Path(shutil.copytree(index.folder, tmp_path / "copy"))
    reader = (
        made(kind, read_index(folder), window=1000)
        if kind is StreamingReader
        else made(kind, read_index(folder))
    )
    assert len(list(reader.batches(8, 0, 0))) == 6
    for tar in folder.glob("*.tar"):
        with tar.open("r+b") as file:
            file.truncate(700)
    with pytest.raises(MienError, match=r"painted-00000\d\.tar is cut off after 700 bytes"):
        list(reader.batches(8, 0, 0))


@either
def test_damaged_bytes_name_the_tar_and_the_key(index, kind, tmp_path):
    folder = Path(shutil.copytree(index.folder, tmp_path / "copy"))
    row = index.table.slice(17, 1).to_pylist()[0]
    tar = folder / row["shard"]
    raw = bytearray(tar.read_bytes())
    raw[row["offset"] : row["offset"] + row["size"]] = b"\0" * row["size"]
    tar.write_bytes(raw)
    with pytest.raises(MienError, match=rf"{row['shard']}: the picture of p004-1 is damaged"):
        list(made(kind, read_index(folder)).batches(8, 0, 0))


@either
def test_a_tar_of_other_faces_is_not_read_as_ours(index, kind, tmp_path):
    folder = Path(shutil.copytree(index.folder, tmp_path / "copy"))
    write_shards("painted", **people(first=100).write(tmp_path / "in"), into=tmp_path / "other", params=SMALL)
    shutil.copy(tmp_path / "other" / "painted-000004.tar", folder / "painted-000004.tar")
    with pytest.raises(MienError, match=r"painted-000004\.tar does not hold p01\d-\d where the index says"):
        list(made(kind, read_index(folder)).batches(8, 0, 0))


@either
def test_a_missing_tar_is_named(index, kind, tmp_path):
    folder = Path(shutil.copytree(index.folder, tmp_path / "copy"))
    (folder / "painted-000001.tar").unlink()
    with pytest.raises(MienError, match=r"painted-000001\.tar"):
        list(made(kind, read_index(folder)).batches(8, 0, 0))


@either
def test_crops_of_two_sizes_are_refused(index, kind):
    place = index.table.schema.get_field_index("width")
    widths = index.column("width").copy()
    widths[3] = 50
    table = index.table.set_column(place, index.table.schema.field("width"), pa.array(widths))
    with pytest.raises(MienError, match="width 48 and 50 px"):
        made(kind, replace(index, table=table))


@either
def test_memory_is_flat_over_epochs(index, kind):
    reader = made(kind, index)

    def resident() -> int:
        for epoch in range(20):
            for _ in reader.batches(16, 0, epoch):
                pass
        return psutil.Process().memory_info().rss

    resident()
    before = resident()
    assert (
        resident() - before < 4 << 20
    )  # 20 epochs of this corpus are 6.6 MB of pixels: a leak of them would show


@either
def test_a_reader_left_in_the_middle_of_an_epoch_lets_go(index, kind):
    reader = made(kind, index)
    for _ in range(20):
        batches = reader.batches(8, 0, 0)
        next(batches)
        batches.close()
    assert len([t for t in threading.enumerate() if t.name.startswith("decode")]) == 0
