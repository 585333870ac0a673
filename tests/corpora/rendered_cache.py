"""Where the tests of the rendered corpus keep the head's basis: the pipeline's own cache if it is there."""

from pathlib import Path

import pytest

PIPELINE = Path(__file__).parents[2] / "data/basis"


def basis_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return PIPELINE if PIPELINE.is_dir() else tmp_path_factory.getbasetemp() / "basis"
