"""The report's section on searches, from what stage `tune` writes."""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.image import imread

from mien import evaluation
from mien.config import MienError
from mien.evaluation.searches.section import draw_search, read_searches, show_search, study_of
from mien.evaluation.searches.text import searches_markdown
from tests.training.test_searching import params


def told(trials: int = 6, rungs: tuple[int, ...] = (2,)) -> dict[str, Any]:
    """Rates of which the lower is the better; every second trial was stopped at the first rung."""
    found = []
    for n in range(trials):
        stopped = n % 2 == 1
        value = 0.8 - 0.1 * n
        found.append(
            {
                "number": n,
                "settings": {"learning_rate": 0.001 * (n + 1), "width": [16, 32][n % 2]},
                "state": "stopped" if stopped else "finished",
                "value": value,
                "length": 2 if stopped else 8,
                "seconds": 1.0,
                "rungs": {"2": value - 0.05} if rungs else {},
                "sentence": "",
            }
        )
    return {
        "experiment": "tiny",
        "settings": found[0]["settings"],
        "best": 0.8,
        "defaults": {"settings": found[2]["settings"], "value": found[2]["value"]},
        "objective": "mean accuracy",
        "unit": "epochs",
        "length": 8,
        "rungs": list(rungs),
        "faces": {"train": 30, "validation": 10, "aliens": 0},
        "space": {"learning_rate": {"low": 0.0001, "high": 0.1, "log": True}, "width": [16, 32]},
        "search": {"algorithm": "optuna"},
        "trials": found,
    }


def test_the_table_has_the_best_first_and_counts_what_was_stopped() -> None:
    shown = show_search("tiny", told())
    assert [row[0] for row in shown.rows] == ["0", "2", "4", "1", "3", "5"]
    assert shown.rows[0][1:4] == ("0.001", "16", "80.0")
    assert "3 trained to their end, 3 stopped early, 0 failed; 30 of 48 epochs" in shown.sentences[0]
    assert "settings of params.yaml 60.0 %: +20.0 points" in shown.sentences[2]
    lines = searches_markdown([shown])
    assert sum(line.startswith("| ") for line in lines) == 2 + 6


def test_the_plots_compare_all_trials_where_all_of_them_were() -> None:
    study = study_of(told())
    assert [trial.value for trial in study.trials] == pytest.approx([0.75 - 0.1 * n for n in range(6)])
    assert len(study_of(told(rungs=())).trials) == 6
    shown, drawn = show_search("tiny", told()), draw_search("tiny", told())
    assert set(drawn) == set(shown.drawn) == {"search-parallel-tiny", "search-importance-tiny"}
    assert plt.rcParams["axes.facecolor"] == "white"  # and the report's other figures keep their style
    for data in drawn.values():
        assert data.startswith(b"\x89PNG")


def test_the_drawn_pictures_show_something(tmp_path: Path) -> None:
    for name, data in draw_search("tiny", told()).items():
        (tmp_path / f"{name}.png").write_bytes(data)
        pixels = imread(tmp_path / f"{name}.png")
        assert pixels.shape[1] > 800
        assert np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0).shape[0] > 20


def test_the_page_has_a_table_for_each_search_and_a_figure_for_each_picture() -> None:
    environment = Environment(
        loader=FileSystemLoader(Path(evaluation.__path__[0])), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["png"] = lambda name: f"picture of {name}"
    module: Any = environment.get_template("searches/section.html.j2").module
    many, few = show_search("many", told()), show_search("few", told(trials=3))
    page = module.searches_section([many, few], lambda header, rows: f"{len(rows)} rows", set(many.drawn))
    assert page.count("<figure>") == 2
    assert 'src="picture of search-parallel-many"' in page
    assert "6 rows" in page
    assert "3 rows" in page
    assert many.sentences[0] in page


def test_few_trials_are_not_drawn() -> None:
    assert draw_search("tiny", told(trials=3)) == {}
    assert show_search("tiny", told(trials=3)).drawn == {}


def test_only_searches_that_were_made_are_read(tmp_path: Path) -> None:
    wanted = params(tmp_path)
    assert read_searches(wanted, tmp_path) == {}
    (tmp_path / "tiny.json").write_text("{}")
    assert read_searches(wanted, tmp_path) == {}
    (tmp_path / "tiny.json").write_text(json.dumps(told()))
    assert set(read_searches(wanted, tmp_path)) == {"tiny"}
    (tmp_path / "tiny.json").write_text("{")
    with pytest.raises(MienError, match=r"tiny.json is not JSON"):
        read_searches(wanted, tmp_path)
