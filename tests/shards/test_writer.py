import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds

from mien.config import MienError
from mien.config.shard import Shard
from mien.manifest.tables import MANIFEST, read_table, write_table
from mien.shards import writer
from mien.shards.index import Index, read_index
from mien.shards.writer import write_shards
from tests.shards.painted import SMALL, Corpus, jpeg, people, picture, sharded


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def members(index: Index) -> list[tuple[tarfile.TarInfo, bytes]]:
    found = []
    for path in sorted(index.folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            found += [(m, tar.extractfile(m).read()) for m in tar]
    return found


def test_bytes_do_not_depend_on_writers_or_on_the_run(tmp_path):
    paths = people().write(tmp_path / "in")
    for name, writers in (("one", 1), ("two", 2), ("again", 2)):
        write_shards("painted", **paths, into=tmp_path / name, params=SMALL, writers=writers)
    assert digests(tmp_path / "one") == digests(tmp_path / "two") == digests(tmp_path / "again")
    assert len(digests(tmp_path / "one")) == 5 + 2  # tars, index and counts; nothing else is left behind


def test_bytes_do_not_depend_on_how_the_crops_are_parted(tmp_path):
    write_shards(
        "painted", **people().write(tmp_path / "a", part_rows=5), into=tmp_path / "one", params=SMALL
    )
    write_shards(
        "painted", **people().write(tmp_path / "b", part_rows=100), into=tmp_path / "two", params=SMALL
    )
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_tars_are_plain_ustar_without_times_and_owners(index):
    for path in index.folder.glob("*.tar"):
        raw = path.read_bytes()
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            for member in tar:
                header = raw[member.offset : member.offset + 512]
                assert header[257:265] == b"ustar\x0000"
                assert (
                    header[156:157] == b"0"
                )  # a regular file: no PAX or GNU record stands before any member
                assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
                assert member.offset_data == member.offset + 512
                assert not member.pax_headers


def test_a_webdataset_reader_finds_the_keys_that_went_in(index):
    tars = sorted(str(p) for p in index.folder.glob("*.tar"))
    data = wds.WebDataset(tars, shardshuffle=False).decode("rgb8")
    samples = list(data)
    assert (
        [s["__key__"] for s in samples]
        == [f"p{n // 4:03d}-{n % 4}" for n in range(48)]
        == index.keys.tolist()
    )
    assert all(s["json"]["key"] == s["__key__"] for s in samples)
    assert {next(k for k in ("jpg", "png") if k in s) for s in samples} == {"jpg", "png"}
    assert samples[4]["png"].shape == (48, 48, 3)
    np.testing.assert_array_equal(samples[4]["png"], picture(4))


def test_crop_bytes_are_kept_and_the_index_points_at_them(index):
    found = members(index)
    for row, (n, k) in zip(index.table.to_pylist(), ((n, n % 4) for n in range(48)), strict=True):
        raw = (index.folder / row["shard"]).read_bytes()
        crop = raw[row["offset"] : row["offset"] + row["size"]]
        assert crop == found[2 * n][1]
        assert hashlib.sha256(crop).hexdigest() == row["crop_sha256"]
        text = raw[row["json_offset"] : row["json_offset"] + row["json_size"]]
        assert json.loads(text)["expression"] == row["expression"]
        assert found[2 * n + 1][0].name == f"p{n // 4:03d}-{k}.json"


def test_the_json_holds_what_is_known(index):
    known = json.loads(members(index)[1][1])
    assert list(known) == sorted(known)
    assert known | {"points": None} == {
        "key": "p000-0", "expression": "neutral", "subject": "p000", "sequence": None, "frame": None,
        "frames": None, "view": None, "yaw": 0.0, "split": None, "corpus": "painted", "votes": None,
        "attributes": {"intensity": 0.5, "condition": "lab"}, "gated": False, "points": None,
    }  # fmt: skip
    np.testing.assert_allclose(known["points"], index.points[0], atol=5e-4)  # rounded to 0.001 px


def test_each_sample_of_a_gated_corpus_says_so(tmp_path):
    paths = people(4).write(tmp_path / "in")
    write_table(read_table(paths["manifest"], MANIFEST), paths["manifest"], MANIFEST, gated=True)
    index = sharded("painted", **paths, into=tmp_path / "out", params=SMALL)
    assert all(json.loads(data)["gated"] for member, data in members(index) if member.name.endswith(".json"))


def test_counts_add_up_to_the_manifest(tmp_path):
    corpus = people()
    corpus.pictures[0]["reject"] = "truncated or damaged: byte 17"
    corpus.pictures[1]["reject"] = "truncated or damaged: byte 18"
    corpus.faces[2] |= {"reject": "no face", "crop": None}
    corpus.points[3] |= {"reject": "points outside", "points": None}
    params = SMALL.model_copy(update={"max_reject_share": 0.1})
    index = sharded("painted", **corpus.write(tmp_path / "in"), into=tmp_path / "out", params=params)
    counts = json.loads((tmp_path / "out" / "counts.json").read_text())
    assert counts["rejects"] == {
        "download": {"truncated or damaged": 2}, "align": {"no face": 1}, "landmarks": {"points outside": 1},
    }  # fmt: skip
    assert counts["rows"] == 48 == counts["samples"] + counts["rejected"]
    assert len(index) == counts["samples"] == 44
    assert sum(counts["classes"].values()) + counts["without_expression"] == 44
    assert counts["without_expression"] == 4  # people without a label are kept
    for name in ("neutral", "happy", "sad"):
        assert sum(fold["classes"][name] for fold in counts["folds"]) == counts["classes"][name]
    assert sum(fold["subjects"] for fold in counts["folds"]) == counts["subjects"] == 11


def test_rows_that_an_earlier_stage_rejected_may_lack_in_later_tables(tmp_path):
    corpus = people()
    corpus.pictures[7]["reject"] = "empty file"
    del corpus.faces[7], corpus.points[7]
    index = sharded("painted", **corpus.write(tmp_path / "in"), into=tmp_path / "out", params=SMALL)
    assert "p001-3" not in index.keys
    assert len(index) == 47


def test_too_many_rejects_are_refused_with_their_reasons(tmp_path):
    corpus = people()
    for row in corpus.faces[:5]:
        row |= {"reject": "no face", "crop": None}
    corpus.points[9] |= {"reject": "no face", "points": None}
    corpus.pictures[8]["reject"] = "empty file"
    with pytest.raises(MienError, match=r"7 of 48 .*max_reject_share: no face \(6\), empty file \(1\)"):
        write_shards("painted", **corpus.write(tmp_path / "in"), into=tmp_path / "out", params=SMALL)


def no_row_for(corpus: Corpus) -> None:
    del corpus.faces[3]


def twice(corpus: Corpus) -> None:
    corpus.pictures.append(corpus.pictures[3])


def foreign(corpus: Corpus) -> None:
    corpus.points[3]["key"] = "stranger"


def not_a_picture(corpus: Corpus) -> None:
    corpus.faces[3]["crop"] = b"GIF89a"


def cut_short(corpus: Corpus) -> None:
    corpus.faces[3]["crop"] = corpus.faces[3]["crop"][:300]


def no_crop(corpus: Corpus) -> None:
    corpus.faces[3]["crop"] = None


@pytest.mark.parametrize("spoil", [no_row_for, twice, foreign, not_a_picture, cut_short, no_crop])
def test_tables_that_do_not_fit_together_are_refused_by_key(tmp_path, spoil):
    corpus = people()
    spoil(corpus)
    with pytest.raises(MienError, match="stranger" if spoil is foreign else "p000-3"):
        write_shards("painted", **corpus.write(tmp_path / "in"), into=tmp_path / "out", params=SMALL)


@pytest.mark.parametrize("key", ["a.b", "Ab", "a/b", "a b", "", "é", "a\n", "x" * 95])
def test_keys_that_webdataset_would_misread_are_refused(tmp_path, key):
    corpus = people(4)
    corpus.add(key, jpeg(picture(900)), subject="q")
    with pytest.raises(MienError, match="the key"):
        write_shards("painted", **corpus.write(tmp_path / "in"), into=tmp_path / "out", params=SMALL)


def test_a_killed_run_leaves_whole_tars_which_the_next_one_keeps(tmp_path, monkeypatch):
    paths = people().write(tmp_path / "in")
    whole = sharded("painted", **paths, into=tmp_path / "whole", params=SMALL)
    real, hashed = writer._facts, []

    def dies(key: str, crop: bytes) -> dict:
        if key == "p006-1":  # in the third tar
            raise KeyboardInterrupt
        return real(key, crop)

    monkeypatch.setattr(writer, "_facts", dies)
    with pytest.raises(KeyboardInterrupt):
        write_shards("painted", **paths, into=tmp_path / "out", params=SMALL, writers=1)
    left = {p.name for p in (tmp_path / "out").glob("*.tar")}
    assert {"painted-000000.tar", "painted-000001.tar"} <= left
    assert "painted-000002.tar" not in left
    assert not (tmp_path / "out" / "index.parquet").exists()

    monkeypatch.setattr(writer, "_facts", lambda key, crop: hashed.append(key) or real(key, crop))
    again = sharded("painted", **paths, into=tmp_path / "out", params=SMALL)
    assert "p000-0" not in hashed
    assert "p006-1" in hashed
    assert again.digest == whole.digest
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_a_standing_tar_of_other_content_is_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "write_index", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_shards("painted", **people().write(tmp_path / "a"), into=tmp_path / "out", params=SMALL)
    monkeypatch.undo()
    changed = people()
    changed.faces[0]["crop"] = jpeg(picture(500))
    changed.pictures[20]["expression"] = "disgust"
    index = sharded("painted", **changed.write(tmp_path / "b"), into=tmp_path / "out", params=SMALL)
    fresh = sharded("painted", **changed.write(tmp_path / "b"), into=tmp_path / "fresh", params=SMALL)
    assert digests(index.folder) == digests(fresh.folder)


def test_fewer_tars_than_before_leave_no_old_one(tmp_path):
    paths = people().write(tmp_path / "in")
    write_shards("painted", **paths, into=tmp_path / "out", params=SMALL)
    write_shards("painted", **paths, into=tmp_path / "out", params=Shard(folds=3, samples_per_shard=100))
    assert sorted(digests(tmp_path / "out")) == ["counts.json", "index.parquet", "painted-000000.tar"]
    assert len(read_index(tmp_path / "out")) == 48
