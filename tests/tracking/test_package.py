"""The folder of a registered model."""

from pathlib import Path

import pytest
from mlflow.utils import requirements_utils

from mien.tracking.package import CARD, requirements, save_model


def test_a_model_is_saved_with_our_pins_and_without_a_look_through_all_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    looked: list[str] = []  # not raised: MLflow would make a warning of it

    def reads_every_file() -> dict[str, list[str]]:
        looked.append("the lists of files of all installed packages")
        return {}

    monkeypatch.setattr(requirements_utils, "_MODULES_TO_PACKAGES", None)
    monkeypatch.setattr(requirements_utils.importlib_metadata, "packages_distributions", reads_every_file)
    (tmp_path / "weights").mkdir()
    save_model(tmp_path / "model", tmp_path / "weights", ["happy", "sad"], "a card")
    assert looked == []
    pinned = (tmp_path / "model" / "requirements.txt").read_text().split()
    assert sorted(pinned) == sorted(requirements())
    assert (tmp_path / "model" / CARD).read_text() == "a card"
