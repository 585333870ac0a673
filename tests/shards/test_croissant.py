"""croissant.json as MLCommons' own library reads it."""

import json

import mlcroissant
import numpy as np
import pytest
from PIL import Image

from mien.corpora.catalogue import CATALOGUE
from mien.shards.croissant import write_croissant
from tests.shards.painted import SMALL, Corpus, jpeg, picture, sharded


@pytest.fixture
def index(tmp_path):
    corpus = Corpus()
    for n in range(12):
        known = {"expression": (None, "happy")[n % 2], "subject": f"p{n // 2}", "yaw": float(n)}
        corpus.add(f"face-{n:02d}", jpeg(picture(n)), **known)
    return sharded("painted", **corpus.write(tmp_path / "in"), into=tmp_path / "out", params=SMALL)


def test_it_is_valid_and_its_records_are_the_faces(index):
    written = write_croissant(index.folder, "raf_db", gated=True)
    found = mlcroissant.Dataset(jsonld=str(written))
    assert not found.metadata.ctx.issues.errors
    faces = list(found.records("faces"))
    assert [face["faces/key"].decode() for face in faces] == index.keys.tolist()
    assert [face["faces/fold"] for face in faces] == index.fold.tolist()
    np.testing.assert_array_equal(np.array([f["faces/points"] for f in faces]), index.points.reshape(12, -1))
    crops = {crop["crops/key"].decode(): crop["crops/crop"] for crop in found.records("crops")}
    assert sorted(crops) == sorted(index.keys.tolist())
    assert all(isinstance(crop, Image.Image) and crop.size == (48, 48) for crop in crops.values())


def test_the_licence_travels(index):
    known = json.loads(write_croissant(index.folder, "raf_db", gated=True).read_text())
    assert known["license"].startswith(CATALOGUE["raf_db"].licence)
    assert "Gated" in known["description"]
    own = json.loads(write_croissant(index.folder, "folder", gated=False).read_text())
    assert own["license"] == "not stated"
    assert "Gated" not in own["description"]


def test_equal_shards_give_equal_bytes_and_a_changed_tar_another_digest(index):
    first = write_croissant(index.folder, "folder", gated=False).read_bytes()
    assert write_croissant(index.folder, "folder", gated=False).read_bytes() == first
    (index.folder / index.column("shard")[0]).write_bytes(b"x")
    assert write_croissant(index.folder, "folder", gated=False).read_bytes() != first
