import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.config import MienError
from mien.shards.index import INDEX, read_index, write_index


def test_what_is_written_is_read(index):
    again = read_index(index.folder)
    assert again.about == index.about
    assert again.digest == index.digest
    assert again.classes == ("neutral", "happy", "sad")
    np.testing.assert_array_equal(again.points, index.points)
    assert again.points.shape == (48, 68, 2)
    assert again.expression[10] is None
    assert not again.shares_people


@pytest.mark.parametrize(
    ("column", "row"), [("expression", 3), ("subject", 4), ("fold", 0), ("points", 5), ("crop_sha256", 9)]
)
def test_the_digest_moves_with_every_column(index, column, row):
    values = index.table[column].to_pylist()
    values[row] = values[row] + 1 if column == "fold" else values[row - 1]
    assert values != index.table[column].to_pylist()
    place = INDEX.get_field_index(column)
    other = index.table.set_column(place, INDEX.field(column), pa.array(values, INDEX.field(column).type))
    assert replace(index, table=other).digest != index.digest


def test_the_digest_is_of_whole_columns_however_many_rows_are_taken_at_once(index, monkeypatch):
    whole = hashlib.sha256(json.dumps(vars(index.about), sort_keys=True).encode())
    for name in index.table.column_names:
        values = index.table.column(name).to_pylist()
        whole.update(name.encode())
        whole.update(np.float32(values).tobytes() if name == "points" else json.dumps(values).encode())
    for rows in (7, 48, 4096):
        monkeypatch.setattr("mien.shards.index._DIGESTED", rows)
        assert replace(index).digest == whole.hexdigest()


def test_a_missing_index_is_named(tmp_path):
    with pytest.raises(MienError, match=r"index\.parquet is missing"):
        read_index(tmp_path)


@pytest.mark.parametrize("broken", [b"", b"PAR1 not really", None])
def test_a_broken_index_is_named(tmp_path, index, broken):
    whole = (index.folder / "index.parquet").read_bytes()
    (tmp_path / "index.parquet").write_bytes(whole[:-100] if broken is None else broken)
    with pytest.raises(MienError, match=r"index\.parquet is not"):
        read_index(tmp_path)


def test_a_parquet_table_that_is_no_index_is_refused(tmp_path, index):
    pq.write_table(index.table, tmp_path / "index.parquet")  # without the facts about its folds
    with pytest.raises(MienError, match="no index of shards"):
        read_index(tmp_path)


def test_an_empty_index_is_refused(tmp_path, index):
    write_index(tmp_path, index.about, [index.table.slice(0, 0)])
    with pytest.raises(MienError, match="empty"):
        read_index(tmp_path)


def test_an_index_can_be_moved_with_its_tars(tmp_path, index):
    shutil.copytree(index.folder, tmp_path / "moved")
    assert read_index(tmp_path / "moved").digest == index.digest
