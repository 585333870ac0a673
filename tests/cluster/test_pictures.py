import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import skimage.data
from PIL import Image

from mien.cluster.align import align_corpus, refuse_rejects
from mien.cluster.landmarks import decode_crop, place_landmarks
from mien.cluster.pictures import CONSUMER, blocks_of, map_blocks
from mien.cluster.session import connect
from mien.config import MienError, Params
from mien.config.train import Cluster
from mien.manifest.tables import ALIGNED, LANDMARKS, MANIFEST, read_table, write_table
from tests.cluster.doubling import SCHEMA, Doubling


def numbers(count: int) -> pa.Table:
    """Rows in an order that is not that of their keys."""
    return pa.table({"key": [f"k{k:03d}" for k in range(count)][::-1], "value": list(range(count))[::-1]})


def test_blocks_are_in_the_order_of_keys():
    blocks = blocks_of(numbers(10), 4)
    assert [b.column("value").to_pylist() for b in blocks] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert blocks_of(numbers(0), 4) == []


def test_too_many_rejects_are_counted_by_reason():
    reasons = [None] * 6 + ["no face", "no face", "too small: 3x3 pixels", "too small: 4x4 pixels"]
    refuse_rejects("the limit is 0.4", 0.4, reasons)
    with pytest.raises(
        MienError, match=r"4 of 10 pictures are rejected, but .*no face \(2\), too small \(2\)"
    ):
        refuse_rejects("the limit is 0.3", 0.3, reasons)


@pytest.fixture(scope="module")
def ray(tmp_path_factory, monkeypatch_module):
    """One Ray for this file; its workers find the modules of this folder."""
    with connect(Cluster(object_store_mb=80)):
        yield


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        yield patch


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_parts_are_whole_in_order_and_a_broken_run_goes_on(ray, tmp_path):
    (tmp_path / "marks").mkdir()
    broken = tmp_path / "marks" / "broken"
    broken.touch()
    cluster = Cluster(storage=str(tmp_path / "storage"), object_store_mb=80, stage_timeout_s=120)
    blocks, settings = blocks_of(numbers(30), 4), {"marks": str(tmp_path / "marks"), "fails_at": 29}

    def run(into: Path) -> None:
        map_blocks("double", blocks, Doubling, settings, SCHEMA, into, cluster, 30)

    with pytest.raises(MienError, match=r"^this block is broken; mend it.$"):
        run(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    kept = len(list((tmp_path / "storage").rglob("part-*.parquet")))
    broken.unlink()
    for mark in (tmp_path / "marks").iterdir():
        mark.unlink()
    run(tmp_path / "out")
    assert (
        len(list((tmp_path / "marks").iterdir())) == len(blocks) - kept
    )  # what was whole was not made again
    out = sorted((tmp_path / "out").iterdir())
    assert [p.name for p in out] == [f"part-{k:05d}.parquet" for k in range(8)]
    assert read_table(tmp_path / "out", SCHEMA).column("value").to_pylist() == [2 * k for k in range(30)]
    assert not list((tmp_path / "storage").rglob("part-*"))
    run(tmp_path / "again")
    for part in out:
        assert part.read_bytes() == (tmp_path / "again" / part.name).read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_time_runs_out(ray, tmp_path):
    (tmp_path / "marks").mkdir()
    cluster = Cluster(storage=str(tmp_path / "storage"), object_store_mb=80, stage_timeout_s=8)
    settings = {"marks": str(tmp_path / "marks"), "sleeps_s": 30.0}
    with pytest.raises(MienError, match=r"cluster.stage_timeout_s is 8"):
        map_blocks("slow", blocks_of(numbers(4), 4), Doubling, settings, SCHEMA, tmp_path / "out", cluster, 4)
    running = [thread.name for thread in threading.enumerate()]
    assert not [name for name in running if name == CONSUMER or name.startswith("StreamingExecutor")]


def corpus(root: Path) -> Path:
    """Eight pictures of a face, one of none, one that is no picture, one rejected before; points on five."""
    face = skimage.data.astronaut()
    rows = []
    for k in range(8):
        Image.fromarray(face[: 300 + k, 60 : 380 + 2 * k]).save(root / f"{k}.png")
        points = (np.tile([[225.0 - 60, 115.0]], (68, 1)) + np.arange(136).reshape(68, 2) / 10).ravel()
        rows.append({"key": f"face{k}", "path": f"{k}.png", "points": points.tolist() if k < 5 else None})
    Image.new("RGB", (100, 100), "white").save(root / "white.png")
    (root / "text.png").write_text("x")
    rows += [{"key": key, "path": f"{key}.png"} for key in ("white", "text")]
    rows.append({"key": "gone", "path": "gone.png", "reject": "copy of white.png"})
    table = pa.Table.from_pylist([row | {"corpus": "c"} for row in rows], schema=MANIFEST)
    write_table(table, root / "manifest.parquet", MANIFEST)
    return root / "manifest.parquet"


@pytest.mark.slow
@pytest.mark.timeout(250)
def test_from_pictures_to_points(ray, tmp_path):
    manifest = corpus(tmp_path)
    params = Params.model_validate(
        {
            "preset": "test",
            "corpora": {"c": {"kind": "folder", "source": str(tmp_path), "classes": {"x": "happy"}}},
            "align": {"max_reject_share": 0.3, "crop_px": 64},
            "landmarks": {"max_reject_share": 0.3},
            "cluster": {"storage": str(tmp_path / "storage"), "object_store_mb": 80, "stage_timeout_s": 200},
            "methods": {},
            "experiments": {},
        }
    )
    align_corpus("c", tmp_path, manifest, tmp_path / "aligned", params.align, params.cluster)
    aligned = {row["key"]: row for row in read_table(tmp_path / "aligned", ALIGNED).to_pylist()}
    assert len(aligned) == 11
    assert list(aligned) == sorted(aligned)
    assert aligned["white"]["reject"] == "no face"
    assert aligned["text"]["reject"] == "not a picture"
    assert aligned["gone"]["reject"] == "copy of white.png"
    face = aligned["face3"]
    assert face["reject"] is None
    assert (face["picture_width"], face["picture_height"]) == (326, 303)
    assert decode_crop(face["crop"]).shape == (64, 64, 3)
    place_landmarks("c", manifest, tmp_path / "aligned", tmp_path / "points", params)
    points = read_table(tmp_path / "points" / "points.parquet", LANDMARKS).to_pylist()
    assert [row["key"] for row in points] == sorted(aligned)
    assert sum(row["points"] is not None for row in points) == 8
    said = (tmp_path / "points" / "landmarks.json").read_text()
    assert '"compared": 5' in said
    assert '"copy of white.png": 1' in said
    strict = params.align.model_copy(update={"max_reject_share": 0.1})
    with pytest.raises(MienError, match=r"3 of 11 pictures are rejected, but align.max_reject_share is 0.1"):
        align_corpus("c", tmp_path, manifest, tmp_path / "strict", strict, params.cluster)
    given = params.model_copy(
        update={"landmarks": params.landmarks.model_copy(update={"model": "given", "max_reject_share": 0.9})}
    )
    place_landmarks("c", manifest, tmp_path / "aligned", tmp_path / "given", given)
    carried = read_table(tmp_path / "given" / "points.parquet", LANDMARKS).to_pylist()
    assert {row["reject"] for row in carried if row["key"].startswith("face")} == {None, "no points given"}
    assert '"all": 0.0' in (tmp_path / "given" / "landmarks.json").read_text()
