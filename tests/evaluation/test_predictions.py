import numpy as np
import pyarrow as pa
import pytest

from mien.config import MienError
from mien.evaluation.predictions import PREDICTIONS, read_predictions
from mien.manifest.tables import write_table
from tests.evaluation.samples import predictions, table


def test_reading_brings_any_order_into_one(tmp_path):
    made, _ = predictions(seeds=(0, 1))
    rows = table(made)
    order = np.random.default_rng(0).permutation(len(rows))
    write_table(rows.take(pa.array(order)), tmp_path / "shuffled.parquet", PREDICTIONS)
    got = read_predictions(tmp_path / "shuffled.parquet", 3)
    assert got.key.tolist() == made.key.tolist()
    assert got.cells() == [(0, 0), (0, 1), (1, 0), (1, 1)]
    np.testing.assert_array_equal(got.probabilities, made.probabilities.astype(np.float32))
    np.testing.assert_array_equal(got.label, made.label)


def test_a_row_with_too_few_probabilities_is_named(tmp_path):
    rows = table(predictions()[0])
    lists = rows["probabilities"].to_pylist()
    lists[3] = lists[3][:2]
    column = rows.column_names.index("probabilities")
    write_table(
        rows.set_column(column, "probabilities", pa.array(lists)), tmp_path / "p.parquet", PREDICTIONS
    )
    with pytest.raises(MienError, match=f"{rows['key'][3]} has 2 probabilities for 3 classes"):
        read_predictions(tmp_path / "p.parquet", 3)


def test_an_empty_table_is_read(tmp_path):
    write_table(PREDICTIONS.empty_table(), tmp_path / "p.parquet", PREDICTIONS)
    assert len(read_predictions(tmp_path / "p.parquet", 3)) == 0
