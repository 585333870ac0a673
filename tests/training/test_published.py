"""Shards beside the checkpoints, where every node finds them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mien.config import MienError, Params
from mien.shards.index import read_index
from mien.shards.indexed import IndexedReader
from mien.training.published import publish, view
from mien.training.storage import Storage
from tests.object_store import ObjectStore, object_store
from tests.striped import tiny, write_corpus


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[ObjectStore, str]]:
    with object_store() as made:
        yield made


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("published"))


def params(storage: str, **corpus: object) -> Params:
    striped = {"kind": "folder", "source": "photographs", "classes": {"n": "neutral"}} | corpus
    return tiny(Path(), cluster={"storage": storage}, corpora={"striped": striped})


def keys(folder: Path) -> list[str]:
    index = read_index(folder)
    return [
        key
        for batch in IndexedReader(index, range(len(index)), index.classes).in_order(7)
        for key in batch.keys
    ]


def test_a_corpus_goes_there_once_and_is_read_from_there(bucket, shards: Path, tmp_path: Path, monkeypatch):
    store, address = bucket
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(path.name for path in (shards / "striped").iterdir())
    told = publish(params(f"{address}/team", gated=False), {"striped"}, shards)
    digest = read_index(shards / "striped").digest[:16]
    assert told == {"striped": f"{address}/team/shards/striped-{digest}"}
    assert sorted(path.name for path in (shards / "striped").iterdir()) == before
    del store.asked[:]
    assert publish(params(f"{address}/team", gated=False), {"striped"}, shards) == told
    assert {method for method, _ in store.asked} <= {"GET", "HEAD"}

    view(told["striped"], tmp_path / "striped", 100)
    assert not list((tmp_path / "striped").glob("*.tar"))
    assert keys(tmp_path / "striped") == keys(shards / "striped")
    assert publish(params(f"{address}/team", gated=False), {"striped"}, tmp_path) == told


def test_a_broken_off_publication_goes_on_and_does_not_count_before_its_end(
    bucket, shards: Path, tmp_path: Path
):
    store, address = bucket
    told = publish(params(f"{address}/broken", gated=False), {"striped"}, shards)
    place = told["striped"].removeprefix(f"{address}/")
    storage = Storage(f"{address}/broken")
    storage.delete(f"shards/{place.rsplit('/', 1)[-1]}/seal.json")
    with pytest.raises(MienError, match=r"counts\.json is not what its seal says|counts\.json is missing"):
        view(told["striped"], tmp_path / "view", 100)
    del store.asked[:]
    assert publish(params(f"{address}/broken", gated=False), {"striped"}, shards) == told
    assert [path for method, path in store.asked if method == "PUT" and path.endswith(".tar")] == []
    view(told["striped"], tmp_path / "view", 100)


def test_what_its_owner_keeps_here_stays_here(bucket, shards: Path):
    store, address = bucket
    with pytest.raises(MienError, match=r"striped is gated .* set corpora\.striped\.allow_push: true"):
        publish(params(f"{address}/gated", gated=True), {"striped"}, shards)
    assert not [name for name in store.names() if name.startswith("gated/")]
    publish(params(f"{address}/gated", gated=True, allow_push=True), {"striped"}, shards)
    assert [name for name in store.names() if name.startswith("gated/")]


def test_a_corpus_whose_tars_are_not_whole_is_not_published(bucket, tmp_path: Path):
    _, address = bucket
    shards = write_corpus(tmp_path)
    next((shards / "striped").glob("*.tar")).unlink()
    with pytest.raises(MienError, match="is missing; delete the folder"):
        publish(params(f"{address}/torn", gated=False), {"striped"}, shards)
