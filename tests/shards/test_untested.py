"""What a search may see: nothing that any cell of its experiment tests."""

import numpy as np
import pytest

from mien.config import MienError
from mien.config.train import Cell
from mien.shards.folds import split_cell
from mien.shards.index import Index, read_index
from mien.shards.untested import split_untested
from tests import striped

SHARE, SEED = 0.3, 0


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return read_index(striped.write_corpus(tmp_path_factory.mktemp("striped"), people=12) / "striped")


def people(index: Index, rows: np.ndarray) -> set[str]:
    return set(index.subject[rows].tolist())


@pytest.mark.parametrize("normal", ["", "happy"])
@pytest.mark.parametrize("folds_by", ["subject", "picture"])
def test_no_tested_face_is_in_any_part(index: Index, folds_by: str, normal: str) -> None:
    cell = Cell(0, 3, normal, "", folds_by)
    parts = split_untested(index, [cell, cell._replace(seed=4)], cell, SHARE, SEED)
    tested = split_cell(index, cell, SHARE, SEED).test
    split, use = parts.split, [parts.split.train, parts.split.validation, parts.aliens]
    assert split.test.tolist() == tested.tolist()
    seen = np.concatenate(use)
    assert len(seen) == len(set(seen.tolist()))  # and no face is in two parts
    assert not set(seen.tolist()) & set(tested.tolist())
    if folds_by == "subject":
        assert not people(index, seen) & people(index, tested)
        assert not people(index, split.train) & people(index, np.concatenate(use[1:]))
        assert people(index, parts.aliens) <= people(index, split.validation)
    if normal:
        assert set(index.expression[np.concatenate(use[:2])].tolist()) == {normal}
        assert set(index.expression[parts.aliens].tolist()) == {"neutral", "sad"}
    else:
        assert not len(parts.aliens)


def test_every_trial_of_the_experiment_counts_as_tested(index: Index) -> None:
    """A search on pictures must not read what the same experiment tests by people."""
    cells = [Cell(0, 0, "happy", "", "picture"), Cell(0, 0, "happy", "", "subject")]
    parts = split_untested(index, cells, cells[0], SHARE, SEED)
    seen = set(np.concatenate([parts.split.train, parts.split.validation, parts.aliens]).tolist())
    for cell in cells:
        assert not seen & set(split_cell(index, cell, SHARE, SEED).test.tolist())


def test_a_whole_cross_validation_leaves_nothing_to_search_on(index: Index) -> None:
    cells = [Cell(fold, 0) for fold in range(index.about.folds)]
    with pytest.raises(MienError, match="test all but 0 faces, which is too few"):
        split_untested(index, cells, cells[0], SHARE, SEED)
