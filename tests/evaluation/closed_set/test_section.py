"""EAN's and HSNet's tables: which experiments stand where, and that no figure is made up."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mien.config.train import Experiment
from mien.evaluation.closed_set import paper
from mien.evaluation.closed_set.hsnet import sizes
from mien.evaluation.closed_set.section import make_closed_set_section
from mien.evaluation.closed_set.text import closed_set_markdown
from mien.evaluation.predictions import PREDICTIONS
from mien.manifest.tables import write_table
from mien.methods.ean import EANConfig
from mien.methods.hsnet import HSNetConfig

FACES = 40
CONFIGS = {"ean": EANConfig(), "hsnet": HSNetConfig()}


def outcome(
    runs: Path,
    name: str,
    method: str,
    right: tuple[int, ...],
    corpus: str = "raf_db",
    share: float = 0.0,
    record: dict[str, Any] | None = None,
    **settings: Any,
) -> Any:
    """An experiment whose training of seed s got right[s] of FACES faces right."""
    entry = Experiment(
        method=method, corpus=corpus, second_corpus=corpus, folds=[0], label_noise={"share": share}
    )
    rows, cells = [], []
    for seed, number in enumerate(right):
        cells.append({"fold": 0, "seed": seed, "accuracy": number / FACES, "mean_accuracy": number / FACES})
        for face in range(FACES):
            shares = np.eye(2, dtype=np.float32)[0 if face < number else 1]
            row = {"key": f"face{face}", "fold": 0, "seed": seed, "part": "test", "label": 0}
            rows.append(row | {"probabilities": shares})
    write_table(pa.Table.from_pylist(rows, PREDICTIONS), runs / name / "predictions.parquet", PREDICTIONS)
    whole = CONFIGS[method].model_dump() if method in CONFIGS else {}
    for key, value in settings.items():
        whole[key] = whole[key] | value if isinstance(value, dict) else value
    run = {"settings": whole, "cells": [{"record": record or {}} for _ in right]}
    points = [
        {"name": "link_density", "fold": 0, "seed": 0, "phase": "association", "epoch": e, "value": 0.1 * e}
        for e in (1, 2)
    ]
    scores = {"classes": ["a", "b"], "cells": cells}
    return SimpleNamespace(name=name, entry=entry, scores=scores, run=run, points=points)


@pytest.fixture
def grids(tmp_path: Path) -> dict[str, Any]:
    told = {
        "test_accuracy_self": 0.5, "test_accuracy_gallery": 0.6, "test_accuracy_batch": 0.55,
        "test_changed_by_batch": 0.05, "test_changed_wild": 0.4, "test_changed_occluded": 0.3,
        "test_changed_relit": 0.2, "test_pairs_wild": 20.0, "test_clean_faces": 10.0,
    }  # fmt: skip
    made = [
        outcome(tmp_path, "plain", "resnet18", (30, 32)),
        outcome(tmp_path, "ean", "ean", (34, 36), record=told),
        outcome(tmp_path, "without", "ean", (20,), record=told, generator={"use": False}),
        outcome(tmp_path, "oracle", "ean", (40,), record=told, graph={"links": "oracle"}),
        outcome(tmp_path, "vgg", "ean", (26,), backbone="vgg16", graph={"links": "identity"}),
        outcome(tmp_path, "noisy-plain", "resnet18", (20, 21, 19), share=0.2),
        outcome(tmp_path, "noisy-ean", "ean", (24, 26, 23), share=0.2, record=told),
        outcome(tmp_path, "hsnet", "hsnet", (35,), record={f"test_weight_{v}_a": 0.25 for v in "abc"}),
        outcome(tmp_path, "hsnet-000", "hsnet", (33,), dib=False, fgal=False, ktl=False),
    ]
    section = make_closed_set_section(made, tmp_path)
    text = "\n".join(closed_set_markdown(section))
    for title, grid in section.grids:
        assert f"### {title}" in text
        assert all(len(row) == len(grid.header) for row in grid.rows), title
    return dict(section.grids)


def row(grid: Any, name: str, at: int = 0) -> tuple[str, ...]:
    return next(tuple(r) for r in grid.rows if r[at] == name)


def test_clean_figures_stand_beside_the_papers(grids) -> None:
    grid = grids["EAN: clean labels (Tables 1 and 2)"]
    assert row(grid, "EAN") == ("EAN", "90.07", "86.36", "87.5±3.5")
    assert row(grid, "ResNet-18")[1:] == ("–", "–", "77.5±3.5")
    assert row(grid, "SCN") == ("SCN", "89.35", "87.03", "–")  # not run here


def test_noise_is_compared_training_by_training(grids) -> None:
    grid = grids["EAN: flipped training labels (Tables 3 and 4)"]
    assert row(grid, "MetaCleaner", 1)[:5] == ("10%", "MetaCleaner", "–", "68.45", "–")
    plain = next(r for r in grid.rows if r[4].startswith("noisy-plain"))
    assert plain[:4] == ("20%", "ResNet-18", "–", "–")
    assert plain[4] == "noisy-plain: 50.0±2.5"
    assert plain[5] == "+10.8"  # 4, 5 and 4 faces of 40
    assert plain[7].split(", ") == ["0.125", "0.062", "0.125"]
    ean = next(r for r in grid.rows if r[4].startswith("noisy-ean"))
    assert ean[2:4] == ("87.03", "84.02")
    assert ean[5] == "–"


def test_backbones_and_parts(grids) -> None:
    table = grids["EAN: backbones and the generator (Table 5)"]
    assert row(table, "vgg16 with generator") == ("vgg16 with generator", "80.2", "78.0", "65.0")
    assert row(table, "vgg16") == ("vgg16", "73.8", "72.5", "–")
    parts = grids["EAN: its parts, and the modes of prediction"]
    assert row(parts, "ean")[1:9] == (
        "yes",
        "similarity",
        "normalised",
        "0%",
        *("50.0±0.0", "60.0±0.0", "55.0±0.0"),
        "5.0±0.0",
    )
    assert row(parts, "ean")[9] == "20.0"  # of the last epoch
    assert row(parts, "oracle")[2] == "oracle (upper bound)"


def test_steadiness_with_and_without_the_generator(grids) -> None:
    grid = grids["EAN: how steady predictions are"]
    assert row(grid, "without") == ("without", "no", "similarity", "0%", "40.0", "30.0", "20.0", "32.5", "1")
    assert {r[0] for r in grid.rows} == {"ean", "without", "oracle", "noisy-ean"}


def test_hsnets_tables(grids) -> None:
    beside = grids["HSNet beside others (Tables 2 to 5)"]
    printed, here = row(beside, "HSNet", 2), row(beside, "hsnet", 2)
    assert printed[:5] == ("2", "rafd", "HSNet", "–", "99.88")
    assert here == ("5", "raf_db", "hsnet", "–", "–", "87.5", "87.5")  # among the rows of its corpus's table
    assert [r[0] for r in beside.rows] == sorted(r[0] for r in beside.rows)
    parts = grids["HSNet: its parts (Table 6)"]
    assert tuple(parts.rows[0]) == ("no", "no", "no", "84.54", "82.5")
    assert tuple(parts.rows[-1]) == ("yes", "yes", "yes", "86.67", "87.5")
    assert tuple(parts.rows[1])[-1] == "–"


def test_hsnets_layers_are_the_papers_but_for_its_misprints(grids) -> None:
    layers = grids["HSNet: layers (Table 1)"]
    wrong = [r[0] for r in layers.rows if r[1] != r[2]]
    assert wrong == ["stem.conv2d_2a", "stem.conv2d_2b"]
    assert row(layers, "trunk.rdib_c")[2:] == ("1792 x 5 x 5", "1792 x 5 x 5")


def test_layers_of_the_smallest_pictures_have_sizes_too() -> None:
    assert sizes(HSNetConfig(input_px=75, width=0.125))["trunk.rdib_c"].endswith(" x 1 x 1")


def test_levels_of_hsnet_by_class(grids) -> None:
    grid = grids["HSNet: how much each level counts"]
    assert [tuple(r) for r in grid.rows] == [
        ("hsnet", v, "0.25", "–") for v in ("finest", "middle", "coarsest")
    ]


def test_without_either_there_is_no_section(tmp_path: Path) -> None:
    assert make_closed_set_section([outcome(tmp_path, "plain", "resnet18", (30,))], tmp_path) is None


def test_the_papers_gains_are_those_it_claims() -> None:
    ean, scn = paper.EAN_NOISE[0.2, "EAN"], paper.EAN_NOISE[0.2, "SCN"]
    assert [round(a - b, 2) for a, b in zip(ean, scn, strict=True)] == [3.86, 3.92]
