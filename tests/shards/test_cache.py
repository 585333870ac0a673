"""Shards of an object store, read as if they lay in the folder."""

import json
import resource
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mien.config import MienError
from mien.shards import cache as module
from mien.shards.cache import ShardCache, cache_folder, fits, tars_bytes
from mien.shards.index import INDEX_FILE, ORIGIN_FILE, Index, Origin, read_index
from mien.shards.indexed import IndexedReader
from mien.shards.part import read_part
from mien.shards.streaming import StreamingReader
from tests.object_store import ObjectStore, object_store
from tests.two_ranks import TwoRanks

PLACE = "shards/painted-0123"
BIG = 1 << 20  # kB, as the tests count


@pytest.fixture(scope="module")
def bucket(index: Index) -> Iterator[tuple[ObjectStore, str]]:
    """The tars of the painted corpus under PLACE."""
    with object_store() as (store, address):
        for tar in index.folder.glob("*.tar"):
            store.write(f"{PLACE}/{tar.name}", tar.read_bytes())
        yield store, address


@pytest.fixture
def remote(index: Index, bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """The index without the tars; the cache counts in kB and is empty."""
    monkeypatch.setattr(module, "_MB", 1 << 10)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return view(index, tmp_path / "view", bucket[1], BIG)


def view(index: Index, folder: Path, address: str, cache_mb: int) -> Index:
    folder.mkdir()
    shutil.copy(index.folder / INDEX_FILE, folder)
    told = {"address": f"{address}/{PLACE}", "cache_mb": cache_mb}
    (folder / ORIGIN_FILE).write_text(json.dumps(told))
    return read_index(folder)


def bound(index: Index, kilobytes: int) -> Index:
    assert index.origin is not None
    return replace(index, origin=Origin(index.origin.address, kilobytes))


def batches(index: Index) -> list[tuple[tuple[str, ...], torch.Tensor]]:
    reader = IndexedReader(index, range(48), index.classes)
    return [(b.keys, b.faces) for b in reader.batches(12, 3, 0)]


def room_for_two(bucket: tuple[ObjectStore, str]) -> int:
    """kB that hold the two largest tars, and no third."""
    store, _ = bucket
    sizes = sorted(len(store.read(name)) for name in store.names() if name.endswith(".tar"))
    return -(-sum(sizes[-2:]) >> 10) + 1


def held() -> list[Path]:
    return sorted(cache_folder().glob("*/*.tar"))


def test_it_reads_what_lies_in_the_folder_and_fetches_each_tar_once(index: Index, remote: Index, bucket):
    store, _ = bucket
    del store.asked[:]
    for _ in range(2):
        for (k, f), (k2, f2) in zip(batches(remote), batches(index), strict=True):
            assert k == k2
            assert torch.equal(f, f2)
    fetched = [path for method, path in store.asked if method == "GET" and path.endswith(".tar")]
    assert len(fetched) == len(set(fetched)) == 5
    assert len(held()) == 5
    assert oct(cache_folder().parent.stat().st_mode)[-3:] == "700"


def test_the_bound_holds_and_what_was_read_last_stays(remote: Index, bucket):
    small = bound(remote, room_for_two(bucket))
    cache = ShardCache(small)
    names = sorted(set(small.column("shard").tolist()))
    largest = 0
    for name in [*names, names[0], *names]:
        assert len(cache.read(name, 0, 100)) == 100
        largest = max(largest, sum(path.stat().st_size for path in held()))
        assert cache_folder() / f"painted-0123/{name}" in held()
    assert 0 < largest <= room_for_two(bucket) << 10
    assert len(held()) < 5


def test_a_place_that_others_are_filling_is_waited_for(remote: Index, bucket):
    small = bound(remote, room_for_two(bucket))
    cache, name = ShardCache(small), remote.column("shard")[0]
    folder, read = cache_folder() / "painted-0123", []
    reader = threading.Thread(target=lambda: read.append(cache.read(name, 0, 512)))
    with module._locked(folder / ".other.tar.lock"):
        (folder / ".other.tar.part").write_bytes(bytes(room_for_two(bucket) << 10))
        reader.start()
        reader.join(0.5)
        assert reader.is_alive()
        assert held() == []
    reader.join(30)
    assert [len(data) for data in read] == [512]
    assert not (folder / ".other.tar.part").exists()  # nobody fills it any more


def test_a_tar_that_is_not_what_the_index_says_is_never_read(index: Index, remote: Index, bucket):
    store, _ = bucket
    row = index.table.slice(13, 1).to_pylist()[0]
    name = f"{PLACE}/{row['shard']}"
    whole = store.read(name)
    at = row["offset"] + row["size"] // 2
    store.write(name, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    try:
        with pytest.raises(MienError, match=rf"does not hold {row['key']} as the index says"):
            ShardCache(remote).read(row["shard"], 0, 100)
        assert list(cache_folder().glob("*/*.tar")) == list(cache_folder().glob("*/.*.part")) == []
        streaming = StreamingReader(remote, range(48), remote.classes, window=16)
        with pytest.raises(MienError, match=rf"{row['key']} is damaged \(another digest\)"):
            list(streaming.in_order(8))
    finally:
        store.write(name, whole)


def test_nobody_sees_a_tar_before_it_is_whole_and_what_a_dead_process_left_is_no_tar(
    remote: Index, monkeypatch
):
    cache, name = ShardCache(remote), remote.column("shard")[0]
    folder = cache_folder() / "painted-0123"
    (folder / f".{name}.part").write_bytes(b"half")
    check, seen = cache._check, []
    monkeypatch.setattr(cache, "_check", lambda *a: (seen.append((folder / name).exists()), check(*a)))
    data = cache.read(name, 0, 512)
    assert seen == [False]
    assert data[:5] == remote.keys[0][:5].encode()
    assert not (folder / f".{name}.part").exists()


def test_a_missing_tar_a_small_cache_and_a_full_disk_are_named(remote: Index):
    name = remote.column("shard")[0]
    with pytest.raises(MienError, match=r"cluster\.cache_mb is 1, less than one tar"):
        ShardCache(bound(remote, 1)).read(name, 0, 10)
    with pytest.raises(MienError, match=r"gone\.tar is missing"):
        ShardCache(remote).read("gone.tar", 0, 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # no file may be larger: as on a full disk
    try:
        with pytest.raises(MienError, match=rf"cannot take {name} \(File too large\); make room there"):
            ShardCache(remote).read(name, 0, 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(cache_folder().glob("*/.*.part")) == []
    assert len(ShardCache(remote).read(name, 0, 10)) == 10


def read_all(folder: str, temporary: str, kilobytes: int) -> list[str]:
    """In a rank's process: two threads that read every face in different orders."""
    import tempfile

    tempfile.tempdir, module._MB = temporary, 1 << 10
    try:
        remote = bound(read_index(Path(folder)), kilobytes)
        seen: list[str] = []

        def read(seed: int) -> None:
            reader = IndexedReader(remote, range(48), remote.classes)
            seen.extend(key for batch in reader.batches(12, seed, 0) for key in batch.keys)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        return seen
    finally:
        tempfile.tempdir, module._MB = None, 1 << 20


def test_processes_share_it(remote: Index, bucket, two_ranks: TwoRanks, tmp_path: Path):
    """Once with room for all tars, each fetched once; once with room for two, which come and go."""
    store, _ = bucket
    two_ranks(set_environment, store.environment())
    for kilobytes in (BIG, room_for_two(bucket)):
        shutil.rmtree(cache_folder(), ignore_errors=True)
        del store.asked[:]
        for seen in two_ranks(read_all, str(remote.folder), str(tmp_path / "tmp"), kilobytes):
            assert len(seen) == 96
            assert set(seen) == set(remote.keys)
        fetched = [path for method, path in store.asked if method == "GET" and path.endswith(".tar")]
        assert len(fetched) == 5 if kilobytes == BIG else len(fetched) > 5
        assert sum(path.stat().st_size for path in held()) <= kilobytes << 10


def set_environment(values: dict[str, str]) -> None:
    import os

    os.environ.update(values)


def test_a_corpus_larger_than_half_the_cache_is_streamed_in_equal_steps(index: Index, remote: Index, bucket):
    store, _ = bucket
    assert tars_bytes(index) > 64 << 10
    assert fits(remote)
    large = bound(remote, 64)
    assert not fits(large)
    assert isinstance(read_part(remote, range(48), index.classes), IndexedReader)
    del store.asked[:]
    ranks = [list(read_part(large, range(48), index.classes).batches(9, 4, 1, rank, 3)) for rank in range(3)]
    assert [len(batches) for batches in ranks] == [5, 5, 5]
    seen = [key for batches in ranks for batch in batches for key in batch.keys]
    assert len(set(seen)) == len(seen) == 45
    assert held() == []
    with pytest.raises(MienError, match="balanced batches are asked for"):
        read_part(large, range(48), index.classes, balanced=True)


def test_a_folder_with_a_torn_origin_is_named(remote: Index):
    (remote.folder / ORIGIN_FILE).write_text('{"address": ')
    with pytest.raises(MienError, match=r"origin\.json does not say where the tars are"):
        read_index(remote.folder)
