"""The rows of the results table."""

from types import SimpleNamespace
from typing import Any

from mien.config.train import Experiment
from mien.evaluation.rows import result_rows
from mien.methods.contract import UPPER_BOUND


def outcome(name: str, record: dict[str, Any]) -> Any:
    bounds = {"mean": 0.5, "low": 0.4, "high": 0.6}
    return SimpleNamespace(
        name=name,
        entry=Experiment(method="ean", corpus="raf_db", second_corpus="raf_db", folds=[0]),
        scores={
            "figures": {name: {"people": bounds} for name in ("accuracy", "mean_accuracy", "macro_f1")},
            "cells": [{"seed": 0, "fold": 0}],
            "per_class": {"a": {"samples": 3}, "b": {"samples": 1}},
        },
        run={"seconds": 5},
        parameters=7,
        records=[{}, record],
    )


def test_what_was_given_the_test_labels_is_called_an_upper_bound() -> None:
    chance, plain, oracle = result_rows([outcome("ean", {}), outcome("oracle", {UPPER_BOUND: "true labels"})])
    assert chance.cells[3:5] == ("75.0", "50.0")
    assert (plain.cells[0], oracle.cells[0]) == ("ean", "oracle (upper bound)")
    assert plain.cells[1:] == oracle.cells[1:]
