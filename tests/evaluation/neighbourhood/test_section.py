"""SNA's section out of a miniature of everything that the stages leave, with models that nobody trained."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from mien import methods
from mien.evaluation.neighbourhood.pictures import moving, strips
from mien.evaluation.neighbourhood.section import make_neighbourhood_section
from mien.evaluation.neighbourhood.sequences import Failure
from mien.evaluation.neighbourhood.tables import closing_ratio, paired_t
from mien.evaluation.neighbourhood.text import neighbourhood_markdown
from mien.evaluation.outcomes import read_outcomes
from mien.evaluation.predictions import CURVES
from mien.evaluation.report import build_report
from mien.evaluation.stage import evaluate_experiment
from mien.manifest.tables import write_table
from tests import tiny
from tests.evaluation import tree
from tests.methods.test_sna import TINY

SKILL = {"plain": 1.0, "masked": 2.0, "small": 1.5, "cross": 0.5}
OWN = {
    "plain": {"until": "baseline"},
    "masked": {},
    "small": {"classification": TINY["classification"] | {"faces_per_class": 2}},
    "cross": {"until": "baseline", "classification": TINY["classification"] | {"loss": "cross_entropy"}},
}


def settings():
    common = {"corpus": "toy", "second_corpus": "toy", "folds": [0, 1], "seeds": [0, 1], "method": "sna"}
    return tree.params(
        corpora={"toy": {"kind": "rendered", "people": 8, "expressions": list(tree.EXPRESSIONS)}},
        methods={"sna": TINY},
        experiments={name: {**common, "settings": own} for name, own in OWN.items()},
    )


def trained_by_nobody(name, index, runs: Path, params) -> None:
    tree.make_run(name, index, runs, params, skill=SKILL[name], seed=len(name))
    folder, config = runs / name, methods.settings(params, name)
    about = json.loads((folder / "run.json").read_text())
    about["settings"] = config.model_dump(mode="json")
    values = {
        "flips_auc": ("final", 0.65),
        "keep_rate": ("final", 0.7),
        "validation_neighbours_named_alike": ("final", 0.93),
    }
    values |= {"validation_psnr": ("refinement", 21.5), "validation_sharpness": ("refinement", 0.012)}
    rows = [
        {"fold": cell["fold"], "seed": cell["seed"], "phase": phase, "epoch": 0, "name": n, "value": v}
        for cell in about["cells"]
        for n, (phase, v) in values.items()
    ]
    if name == "masked":
        write_table(pa.Table.from_pylist(rows, CURVES), folder / "curves.parquet", CURVES)
        for cell in about["cells"]:
            cell["record"] = {"flips_auc": 0.625, "flips_keep_rate": 0.5, "noise": 0.2}
        torch.manual_seed(0)
        method = methods.build("sna", config, index.classes)
        tiny.enter(method, method.phases()[-1])
        method.finish(method.phases()[-1])
        methods.save(method, "sna", folder / "cells" / "fold0-seed0", {})
    (folder / "run.json").write_text(json.dumps(about))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root, params = tmp_path_factory.mktemp("neighbourhood"), settings()
    index = tree.make_corpus("toy", root / "data", params)
    for name in params.experiments:
        trained_by_nobody(name, index, root / "runs", params)
        where = (root / "data" / "shards" / "toy", root / "runs" / name, root / "results" / name)
        evaluate_experiment(name, *where, params)
    return root, params, index


@pytest.fixture(scope="module")
def section(made):
    root, params, index = made
    outcomes = read_outcomes(params, root / "results", root / "runs", {"toy": index})
    return make_neighbourhood_section(outcomes, root / "runs", {"toy": index}, params)


def scores(made, name: str) -> float:
    told = json.loads((made[0] / "results" / name / "scores.json").read_text())
    return told["figures"]["mean_accuracy"]["people"]["mean"]


def test_closing_ratio_of_the_specification() -> None:
    assert closing_ratio(62.7, 61.5, 65.3) == pytest.approx(0.3158, abs=5e-5)
    assert math.isnan(closing_ratio(1, 2, 2))


def test_the_paired_test_by_hand() -> None:
    # differences 1, 2, 3: mean 2, deviation 1, t = 2 * sqrt(3) = 3.464 with 2 degrees of freedom
    assert paired_t([0, 0, 0], [1, 2, 3]) == pytest.approx(0.0742, abs=5e-5)
    assert math.isnan(paired_t([1.0], [2.0]))
    assert math.isnan(paired_t([1.0, 1.0], [2.0, 2.0]))


def test_the_mask_stands_beside_its_own_baseline(made, section) -> None:
    (row,) = section.against.rows  # `small` has another batch than any baseline
    without, with_mask = scores(made, "plain"), scores(made, "masked")
    assert row[:3] == ["masked", "toy", "batch threshold"]
    assert row[3:5] == [f"{without * 100:.1f}", f"{with_mask * 100:.1f}"]
    assert row[5].startswith(f"+{(with_mask - without) * 100:.1f}")
    assert row[7] == f"{(with_mask - without) / (1 - without) * 100:.1f}"
    recalls = {line[0]: line for line in section.recalls[0].rows}
    assert recalls["happy"][4] == "86.8"


def test_flips_and_neighbours_are_told(section) -> None:
    assert [line[3:] for line in section.flips.rows] == [["62.5", "65.0", "50.0", "70.0"]] * 4
    (line,) = section.neighbours.rows
    assert line[:2] == ["masked", "0.2"]
    assert line[-1] == "93.0"
    assert "21.5" in line
    assert "12.00" in line


def test_tables_vi_and_viii_stand_beside_the_papers(made, section) -> None:
    by_size = {line[0]: line for line in section.batches.rows}
    assert by_size["9"][1] == f"{scores(made, 'masked') * 100:.1f}"
    assert by_size["6"][1] == f"{scores(made, 'small') * 100:.1f}"
    assert by_size["63"] == ["63", "–", "–", "62.7", "62.1"]
    rows = {tuple(line[:3]): line[3:] for line in section.losses.rows}
    first = rows["cross-entropy", "batch balancing", "without"]
    assert first == ["cross", f"{scores(made, 'cross') * 100:.1f}", "61.1"]
    assert rows["focal", "no balancing", "without"] == ["–", "–", "44.4"]


def test_the_sheet_has_a_row_an_expression_and_a_moving_last_column(section) -> None:
    assert [name for name, _ in section.sheet.rows] == list(tree.EXPRESSIONS)
    for _, cells in section.sheet.rows:
        kinds = [Image.open(io.BytesIO(cell)) for cell in cells]
        assert [picture.format for picture in kinds] == ["JPEG"] * 5 + ["WEBP"]
    assert len(section.columns) == 6


class Brightening:
    """Stands for a trained model: the more noise, the brighter."""

    def neighbours(self, x, seed, noise):
        return x + noise


def test_the_strip_goes_through_the_neighbour_to_twice_the_noise_and_back() -> None:
    strip = Image.open(io.BytesIO(moving(Brightening(), torch.full((1, 1, 8, 8), -0.5), torch.zeros(1), 0.5)))
    brightness = []
    for number in range(strip.n_frames):
        strip.seek(number)
        brightness.append(float(np.asarray(strip.convert("L")).mean()))
    assert len(brightness) == 24
    grey = (np.array([-0.5, 0.0, 0.5]) + 1) * 127.5  # no noise, the neighbour's, twice as much
    assert np.allclose([brightness[n] for n in (0, 6, 12)], grey, atol=4)  # the format is lossy
    assert brightness[18] == pytest.approx(brightness[6], abs=4)


def test_a_failing_sequence_becomes_a_strip_in_the_order_of_its_frames(made) -> None:
    index = made[2]
    rows = [4, 1, 7, 2, 9]
    (strip,) = strips([Failure((0, 1), rows, 0, [1, 1, 1, 1])], index)
    assert "consistent failure, seed 1" in strip.title
    assert [words for _, words in strip.frames] == ["named happy"] * 4 + ["learnt"]
    single = [strips([Failure((0, 1), [row] * 5, 0, [1] * 4)], index)[0].frames[0][0] for row in rows]
    assert [picture for picture, _ in strip.frames] == single


def test_page_and_table_have_the_section(made, section) -> None:
    root, params, _ = made
    build_report(root / "data", root / "results", root / "runs", root / "reports", params, "abc")
    page = (root / "reports" / "index.html").read_text()
    assert "data:image/webp;base64," in page
    for _title, grid in section.titled:
        assert grid.caption[:40] in (root / "reports" / "results.md").read_text()
    assert "### What the paper prints" in "\n".join(neighbourhood_markdown(section))
