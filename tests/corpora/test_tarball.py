import hashlib
import tarfile

import pytest

from mien.corpora import tarball
from mien.corpora.tarball import keep_pictures


def test_pictures_lie_where_their_rows_say_in_tars_of_limited_size(tmp_path, monkeypatch):
    monkeypatch.setattr(tarball, "LARGEST", 4 * 512)
    data = {f"p{k}": bytes([k]) * (400 + 200 * k) for k in range(5)}
    pictures = [({"key": key, "reject": None}, value) for key, value in data.items()]
    pictures.insert(2, ({"key": "bad", "path": "some.csv", "reject": "truncated"}, b""))
    rows = list(keep_pictures(iter(pictures), tmp_path, "png"))
    assert [row["key"] for row in rows] == ["p0", "p1", "bad", "p2", "p3", "p4"]
    assert rows[2] == {"key": "bad", "path": "some.csv", "reject": "truncated"}
    members = {}
    for row in rows:
        if row["key"] == "bad":
            continue
        whole = (tmp_path / row["path"]).read_bytes()
        assert whole[row["offset"] : row["offset"] + row["size"]] == data[row["key"]]
        assert row["sha256"] == hashlib.sha256(data[row["key"]]).hexdigest()
        members.setdefault(row["path"], []).append(f"{row['key']}.png")
    # 512 header + payload in blocks: p0 2, p1 3 -> full; p2 3, p3 3 -> full; p4
    assert members == {
        "pictures-00000.tar": ["p0.png", "p1.png"],
        "pictures-00001.tar": ["p2.png", "p3.png"],
        "pictures-00002.tar": ["p4.png"],
    }
    for path, names in members.items():
        with tarfile.open(tmp_path / path) as tar:
            assert tar.getnames() == names
            assert {(m.mtime, m.uid, m.mode) for m in tar.getmembers()} == {(0, 0, 0o644)}


def test_a_failure_on_the_way_leaves_no_tar(tmp_path):
    def pictures():
        yield {"key": "a", "reject": None}, b"x"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        list(keep_pictures(pictures(), tmp_path, "png"))
    assert list(tmp_path.iterdir()) == []
