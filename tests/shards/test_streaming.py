import contextlib
import functools
import http.server
import shutil
import threading

import pytest
import torch
import webdataset as wds
from webdataset import utils as wds_utils

from mien.config import MienError
from mien.shards.streaming import StreamingReader
from tests.shards.painted import picture


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def served(folder):
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def address(index):
    with served(index.folder) as where:
        yield where


def contents(reader):
    return [(b.keys, b.faces, b.seed) for b in reader.batches(8, 5, 1)]


@pytest.mark.parametrize("secure", [False, True])
def test_over_http_it_reads_what_it_reads_from_the_folder(index, address, monkeypatch, secure):
    monkeypatch.setattr(wds_utils, "enforce_security", secure)
    here = contents(StreamingReader(index, range(48), index.classes, window=16))
    there = contents(StreamingReader(index, range(48), index.classes, window=16, address=address))
    for (k, f, s), (k2, f2, s2) in zip(here, there, strict=True):
        assert k == k2
        assert torch.equal(f, f2)
        assert torch.equal(s, s2)


def test_a_server_without_the_tar_is_named(index, address):
    reader = StreamingReader(index, range(48), index.classes, address=address + "/nowhere")
    with pytest.raises(MienError, match=r"nowhere/painted-00000\d\.tar gives no bytes"):
        contents(reader)


def test_a_tar_that_the_server_gives_in_part_names_the_last_good_key(index, tmp_path):
    shutil.copytree(index.folder, tmp_path / "copy")
    tar = tmp_path / "copy" / "painted-000003.tar"
    whole = tar.read_bytes()
    row = index.table.slice(35, 1).to_pylist()[0]
    size = row["json_offset"] + row["json_size"] + 600
    tar.write_bytes(whole[:size])
    with served(tmp_path / "copy") as where:
        reader = StreamingReader(index, range(48), index.classes, address=where)
        with pytest.raises(
            MienError, match=rf"painted-000003\.tar is cut off after {size} bytes, .* good key is p008-3;"
        ):
            list(reader.in_order(8))


@pytest.mark.parametrize("bad", ["pipe:cat /etc/passwd", "file:///x", "ftp://x", "s3+evil://x"])
def test_addresses_that_run_commands_or_are_unknown_are_refused(index, bad):
    with pytest.raises(MienError, match="cannot be read; give a folder or a URL"):
        StreamingReader(index, range(48), index.classes, address=bad)


def test_only_tars_with_wanted_faces_are_opened(index, monkeypatch):
    opened = []
    from mien.shards import streaming

    real = streaming.Stream
    monkeypatch.setattr(streaming, "Stream", lambda where, name: opened.append(name) or real(where, name))
    reader = StreamingReader(index, range(10, 30), index.classes)
    assert len(list(reader.batches(5, 0, 0))) == 4
    assert sorted(opened) == ["painted-000001.tar", "painted-000002.tar"]
    opened.clear()
    list(reader.batches(5, 0, 0, start=4))
    assert opened == []


def test_loader_workers_leave_the_run_s_random_numbers_alone(index):
    drawn = []
    for workers in (0, 2):
        torch.manual_seed(0)
        list(StreamingReader(index, range(48), index.classes, workers=workers).batches(8, 0, 0))
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] == drawn[1]


def test_webdataset_s_own_pipeline_reads_the_same_faces(index):
    tars = sorted(str(p) for p in index.folder.glob("*.tar"))
    theirs = {s["__key__"]: s for s in wds.WebDataset(tars, shardshuffle=False).decode("rgb8")}
    reader = StreamingReader(index, range(48), index.classes)
    for batch in reader.in_order(10):
        for key, face in zip(batch.keys, batch.faces, strict=True):
            sample = theirs[key]
            other = torch.from_numpy((sample["jpg"] if "jpg" in sample else sample["png"]).copy()).permute(
                2, 0, 1
            )
            assert (face.int() - other.int()).abs().max() <= 4  # two builds of libjpeg
    assert picture(0).shape == tuple(face.permute(1, 2, 0).shape)
