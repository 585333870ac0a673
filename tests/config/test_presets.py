"""Every preset that is shipped loads, down to the settings of its methods."""

from pathlib import Path

import pytest

from mien import methods
from mien.config import load_params

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))


def test_the_four_presets_are_there() -> None:
    assert [path.stem for path in PRESETS] == ["ci", "demo", "paper", "study"]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_valid(path: Path) -> None:
    params = load_params(path)
    assert params.preset == path.stem
    assert set(methods.check(params)) == set(params.experiments)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_names_every_method_that_mien_has(path: Path) -> None:
    assert set(load_params(path).methods) == set(methods.names())


def test_the_checked_in_params_are_the_demo() -> None:
    assert (ROOT / "params.yaml").read_bytes() == (ROOT / "presets" / "demo.yaml").read_bytes()
