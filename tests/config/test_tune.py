"""Search spaces and searches as params.yaml may say them."""

import math

import pytest

from mien.config import MienError, Params, parse_section
from mien.config.tune import Span, grid, holds

EXPERIMENT = {"method": "resnet18", "corpus": "mine", "second_corpus": "mine", "folds": [0]}
MINE = {"kind": "folder", "source": "photographs", "classes": {"n": "neutral"}}


def parsed(space: object, search: object = None, **entry: object) -> Params:
    raw = {"preset": "x", "corpora": {"mine": MINE}, "methods": {"resnet18": {}}}
    raw |= {"experiments": {"one": EXPERIMENT | entry}, "search": {"resnet18": space}}
    raw |= {"searches": {"one": search}} if search is not None else {}
    return parse_section(Params, raw, "params.yaml", "")


def test_a_span_holds_its_ends_and_a_choice_its_values() -> None:
    span = Span(low=0.001, high=0.01)
    assert [holds(span, value) for value in (0.001, 0.01, 0.0009, 0.011)] == [True, True, False, False]
    assert holds([1, 2], 2)
    assert not holds([1, 2], True)  # Python takes True for 1, a search must not
    assert not holds(span, "0.005")


def test_a_grid_takes_every_combination_with_the_ends_exact() -> None:
    space = {"rate": Span(low=1e-4, high=1e-2, log=True), "width": [16, 32]}
    points = grid(space, 3)
    assert len(points) == 6
    rates = sorted({point["rate"] for point in points})
    assert (rates[0], rates[-1]) == (1e-4, 1e-2)
    assert math.isclose(rates[1], 1e-3, rel_tol=1e-12)
    assert Span(low=1, high=3).steps(5) == [1, 2, 3]  # rounding makes no value twice


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ({"learning_rate": {"low": 1, "high": 0.1}}, "low is 1, which must be below high"),
        ({"learning_rate": {"low": 0, "high": 0.1, "log": True}}, "log needs it above 0"),
        (
            {"learning_rate": [0.1]},
            r"search.resnet18.learning_rate is \[0.1\], but list should have at least 2",
        ),
        ({"learning_rate": {"low": 0.1, "heigh": 1.0}}, "search.resnet18.learning_rate"),
    ],
)
def test_a_space_that_is_none_is_refused_by_its_key(space: object, sentence: str) -> None:
    with pytest.raises(MienError, match=sentence):
        parsed(space)


def test_searches_name_experiments_whose_method_has_a_space() -> None:
    space = {"learning_rate": {"low": 0.001, "high": 0.1}}
    assert parsed(space, {"trials": 3}).searches["one"].algorithm == "optuna"
    with pytest.raises(MienError, match=r"searches.one needs search.resnet18"):
        parsed({}, {})
    with pytest.raises(MienError, match=r"experiments.one.tuned is true, but searches has no one"):
        parsed(space, tuned=True)
