"""Every preset that is shipped loads, down to the settings of its methods."""

from pathlib import Path

import pytest

from mien import methods
from mien.config import MienError, load_params
from mien.config.tune import holds

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


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_method_of_a_preset_can_be_tuned(path: Path) -> None:
    """Its space is checked against its Config, and begins with the preset's own settings."""
    params = load_params(path)
    assert set(params.search) == set(methods.names())
    for name, space in params.search.items():
        assert space
        methods.check_space(params, name)
        config = methods.method_class(name).Config.model_validate(params.methods[name])
        told = config.model_dump(mode="json")
        assert [key for key, d in space.items() if not holds(d, methods.setting(told, key))] == []
        wrong = {**params.search, name: {"no_such_setting": [1, 2]}}
        with pytest.raises(MienError, match=rf"search.{name}.no_such_setting is not a key"):
            methods.check_space(params.model_copy(update={"search": wrong}), name)


@pytest.mark.parametrize("name", ["demo", "ci"])
def test_a_quick_preset_searches_for_nothing(name: str) -> None:
    assert not load_params(ROOT / "presets" / f"{name}.yaml").searches
