"""Shards where every node can read them: beside the checkpoints, each corpus once, under its digest."""

import json
from dataclasses import asdict
from pathlib import Path

from mien.config import MienError, Params
from mien.config.corpora import withheld
from mien.manifest.tables import whole
from mien.shards.index import COUNTS_FILE, INDEX_FILE, ORIGIN_FILE, Index, Origin, read_index
from mien.shards.tars import Tars
from mien.training.storage import Storage

SHARDS = "shards"


def publish(params: Params, corpora: set[str], shards: Path) -> dict[str, str]:
    """Put the shards of these corpora into the storage, unless they are there; their addresses by name.

    `shards` holds a folder a corpus. A broken-off publication goes on where it stopped. MienError: a corpus
    is gated by its owner's terms, its tars are not whole, or the storage fails.
    """
    return {name: _published(params, read_index(shards / name)) for name in sorted(corpora)}


def _published(params: Params, index: Index) -> str:
    if index.origin is not None:
        return index.origin.address
    name = index.folder.name
    if withheld(params.corpora[name]):
        raise MienError(
            f"{name} is gated by its owner's terms, and cluster.storage is {params.cluster.storage}; if they "
            f"allow it to lie there, set corpora.{name}.allow_push: true."
        )
    Tars(index)  # refuses tars that are missing or cut off
    storage = Storage(params.cluster.storage)
    place = f"{SHARDS}/{name}-{index.digest[:16]}"
    storage.fill(index.folder, place)
    return f"{storage.uri}/{place}"


def view(address: str, folder: Path, cache_mb: int) -> None:
    """Make a shard folder of a published corpus: its index and counts, and where its tars are.

    MienError: the corpus is not there whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parent, _, name = address.rpartition("/")
    for file in (COUNTS_FILE, INDEX_FILE):
        Storage(parent).fetch(f"{name}/{file}", folder / file)
    with whole(folder / ORIGIN_FILE) as scratch:
        scratch.write_text(json.dumps(asdict(Origin(address, cache_mb))), encoding="utf-8")
