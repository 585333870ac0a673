import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.config import MienError
from mien.manifest import tables
from mien.manifest.tables import ALIGNED, MANIFEST, is_gated, read_table, whole, write_table, write_tables

ROWS = [
    {"key": "a", "path": "a.jpg", "corpus": "c"},
    {"key": "b", "path": "b.jpg", "corpus": "c", "box": [1, 2, 3, 4], "points": list(range(136))},
    {"key": "c", "path": "c.jpg", "corpus": "c", "reject": "empty file"},
]


def table() -> pa.Table:
    return pa.Table.from_pylist(ROWS, schema=MANIFEST)


def test_rows_come_back_with_their_nulls(tmp_path):
    write_table(table(), tmp_path / "m.parquet", MANIFEST)
    back = read_table(tmp_path / "m.parquet", MANIFEST)
    assert back.schema.equals(MANIFEST)
    assert back.to_pylist() == table().to_pylist()
    some = read_table(tmp_path / "m.parquet", MANIFEST, ["key", "box"])
    assert some.column_names == ["key", "box"]
    assert some.column("box").to_pylist() == [None, [1, 2, 3, 4], None]


def test_no_rows_and_only_nulls(tmp_path):
    write_table(table().slice(0, 0), tmp_path / "none.parquet", MANIFEST)
    assert read_table(tmp_path / "none.parquet", MANIFEST).num_rows == 0
    write_table(table().slice(0, 1), tmp_path / "null.parquet", MANIFEST)
    assert read_table(tmp_path / "null.parquet", MANIFEST).column("points").to_pylist() == [None]


def test_equal_rows_give_equal_bytes(tmp_path):
    write_table(table(), tmp_path / "a.parquet", MANIFEST)
    write_table(table(), tmp_path / "b.parquet", MANIFEST)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_what_is_written_piece_by_piece_is_one_table(tmp_path, monkeypatch):
    pieces = [table().slice(k, 1) for k in range(3)]
    write_table(table(), tmp_path / "once", MANIFEST)
    write_tables(iter(pieces), tmp_path / "pieces", MANIFEST)
    assert (tmp_path / "once").read_bytes() == (tmp_path / "pieces").read_bytes()
    monkeypatch.setattr(tables, "GROUP", 2)
    write_tables(iter(pieces), tmp_path / "groups", MANIFEST)
    file = pq.ParquetFile(tmp_path / "groups")
    assert [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)] == [2, 1]
    assert read_table(tmp_path / "groups", MANIFEST).to_pylist() == table().to_pylist()


def test_a_table_of_a_gated_corpus_says_so(tmp_path):
    write_table(table(), tmp_path / "open", MANIFEST)
    write_table(table(), tmp_path / "gated", MANIFEST, gated=True)
    assert (is_gated(tmp_path / "open"), is_gated(tmp_path / "gated")) == (False, True)
    assert read_table(tmp_path / "gated", MANIFEST).to_pylist() == table().to_pylist()


def test_parts_are_read_in_name_order(tmp_path):
    for k in (2, 0, 1):
        write_table(table().slice(k, 1), tmp_path / f"part-{k}.parquet", MANIFEST)
    assert read_table(tmp_path, MANIFEST).column("key").to_pylist() == ["a", "b", "c"]


def test_a_block_that_fails_leaves_the_old_file_and_no_scratch(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), whole(path) as scratch:
        scratch.write_text(str(1 / 0))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_missing_damaged_and_foreign_files_are_named(tmp_path):
    with pytest.raises(MienError, match=r"none.parquet is missing"):
        read_table(tmp_path / "none.parquet", MANIFEST)
    with pytest.raises(MienError, match="is missing"):
        read_table(tmp_path, MANIFEST)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(MienError, match=r"bad.parquet is not a readable Parquet table"):
        read_table(tmp_path / "bad.parquet", MANIFEST)
    write_table(table(), tmp_path / "m.parquet", MANIFEST)
    with pytest.raises(MienError, match=r"m.parquet lacks the column \w+"):
        read_table(tmp_path / "m.parquet", ALIGNED)
    odd = pa.table({"key": ["a"], "points": [[1.0, 2.0]], "reject": pa.nulls(1, pa.string())})
    pq.write_table(odd, tmp_path / "odd.parquet")
    with pytest.raises(MienError, match=r"odd.parquet is not of this version"):
        read_table(tmp_path / "odd.parquet", MANIFEST, ["key", "points"])


def test_a_cut_off_file_is_named(tmp_path):
    write_table(table(), tmp_path / "m.parquet", MANIFEST)
    data = (tmp_path / "m.parquet").read_bytes()
    (tmp_path / "m.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(MienError, match=r"m.parquet is not a readable"):
        read_table(tmp_path / "m.parquet", MANIFEST)
