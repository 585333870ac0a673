import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mien.config import MienError
from mien.corpora import fetching
from mien.corpora.catalogue import CATALOGUE, Public
from mien.corpora.fetching import fetch_public

VOTES = b"Usage,Image name,neutral\n" + b"Training,fer0000000.png,4\n" * 20_000


class Server(http.server.ThreadingHTTPServer):
    """Gives VOTES out, in parts where asked; breaks off after `most` bytes of an answer."""

    payload, most, ranges = VOTES, len(VOTES), True
    asked: list[str | None]


class Answer(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.asked.append(wanted)
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        whole = len(self.server.payload)
        if begin >= whole:
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{whole - 1}/{whole}")
        self.send_header("Content-Length", str(whole - begin))
        self.end_headers()
        self.wfile.write(self.server.payload[begin : begin + self.server.most])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answer) as running:
        running.asked = []
        address = f"http://127.0.0.1:{running.server_port}/fer2013new.csv"
        part = Public("fer2013new.csv", address, hashlib.sha256(VOTES).hexdigest(), "MIT")
        monkeypatch.setitem(CATALOGUE, "ferplus", replace(CATALOGUE["ferplus"], public=(part,)))
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def fetched(into: Path) -> list[int]:
    """What progress was told."""
    told: list[int] = []
    assert fetch_public("ferplus", into, lambda done, total: told.append(done)) == [into / "fer2013new.csv"]
    assert [p.name for p in into.iterdir()] == ["fer2013new.csv"]
    assert (into / "fer2013new.csv").read_bytes() == VOTES
    return told


def test_the_votes_come_whole_and_are_not_fetched_twice(tmp_path, server):
    assert fetched(tmp_path)[-1] == len(VOTES)
    assert fetched(tmp_path) == []
    assert server.asked == [None]


def test_a_download_that_broke_off_goes_on_where_it_stopped(tmp_path, server):
    server.most = 200_000
    with pytest.raises(MienError, match="what came is kept, give the command again"):
        fetched(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [".fer2013new.csv.part"]
    have = (tmp_path / ".fer2013new.csv.part").stat().st_size
    assert 0 < have <= 200_000
    server.most = len(VOTES)
    assert fetched(tmp_path)[0] > have
    assert server.asked == [None, f"bytes={have}-"]


def test_a_server_that_gives_no_parts_is_asked_for_the_whole(tmp_path, server):
    (tmp_path / ".fer2013new.csv.part").write_bytes(VOTES[:1000])
    server.ranges = False
    fetched(tmp_path)


def test_a_part_that_is_longer_than_the_file_is_thrown_away(tmp_path, server):
    (tmp_path / ".fer2013new.csv.part").write_bytes(VOTES + b"more")
    fetched(tmp_path)


@pytest.mark.parametrize("begun", [0, 1000])
def test_another_file_than_the_pinned_one_is_refused_and_nothing_stays(tmp_path, server, begun):
    server.payload = VOTES.replace(b",4", b",5")
    if begun:
        (tmp_path / ".fer2013new.csv.part").write_bytes(VOTES[:begun])
    with pytest.raises(MienError, match="not the file that was pinned"):
        fetched(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_users_own_is_not_overwritten(tmp_path, server):
    (tmp_path / "fer2013new.csv").write_bytes(b"mine")
    with pytest.raises(MienError, match="move it away and fetch again"):
        fetched(tmp_path)
    assert (tmp_path / "fer2013new.csv").read_bytes() == b"mine"
    assert server.asked == []


def test_a_server_that_sends_without_end_is_left(tmp_path, server, monkeypatch):
    monkeypatch.setattr(fetching, "MOST_BYTES", 100_000)
    with pytest.raises(MienError, match="broke off"):
        fetched(tmp_path)


def test_nobody_there_is_one_sentence(tmp_path, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(MienError, match=r"does not answer \(ConnectionError\)"):
        fetched(tmp_path)


@pytest.mark.parametrize("kind", [kind for kind, entry in CATALOGUE.items() if not entry.public])
def test_what_is_gated_is_never_fetched(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(fetching.requests, "get", lambda *_, **__: pytest.fail("nothing may be asked for"))
    with pytest.raises(MienError, match=f"Nothing of {kind} is public"):
        fetch_public(kind, tmp_path, lambda done, total: None)


def test_only_the_votes_of_ferplus_are_public_and_their_digest_is_pinned():
    public = {kind: [part.name for part in entry.public] for kind, entry in CATALOGUE.items() if entry.public}
    assert public == {"ferplus": ["fer2013new.csv"]}
    (votes,) = CATALOGUE["ferplus"].public
    assert votes.address.startswith("https://")
    assert len(bytes.fromhex(votes.sha256)) == 32
