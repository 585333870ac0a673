from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.evaluation import timeline
from mien.evaluation.inference import Answer
from mien.evaluation.timeline import Chart, Moment, smooth


def moments(happy: list[float | None], every_s: float = 0.1) -> list[Moment]:
    answers = [
        Answer({"happy": p, "sad": 1 - p}, None) if p is not None else Answer(None, "no face") for p in happy
    ]
    return [Moment(k, k * every_s, answer) for k, answer in enumerate(answers)]


def smoothed(happy: list[float | None], half_s: float) -> list[float | None]:
    given = list(smooth(moments(happy), half_s))
    assert [m.frame for m in given] == list(range(len(happy)))
    for moment in given:
        assert moment.smoothed is None or sum(moment.smoothed.values()) == pytest.approx(1)
    return [moment.smoothed and moment.smoothed["happy"] for moment in given]


def test_neighbours_count_by_their_distance() -> None:
    """Half a window of 0.2 s: a neighbour at 0.1 s has weight 1/2, one at 0.2 s none."""
    expected = [0, 1 / 4, 1 / 2, 1 / 4, 0]
    assert smoothed([0, 0, 1, 0, 0], 0.2) == pytest.approx(expected, abs=1e-9)


def test_no_window_changes_nothing() -> None:
    assert smoothed([0.1, 0.9, None, 0.4], 0.0) == pytest.approx([0.1, 0.9, None, 0.4])


def test_frames_without_a_face_stay_without_and_weigh_nothing() -> None:
    assert smoothed([1, None, 0], 0.2) == [1, None, 0]
    assert smoothed([None, None], 1.0) == [None, None]
    assert smoothed([1, None, 0], 0.4) == pytest.approx([2 / 3, None, 1 / 3])


def test_it_equals_the_average_over_the_whole_video() -> None:
    rng = np.random.default_rng(0)
    happy, half = rng.random(60), 0.75
    times = np.arange(60) * 0.1
    weights = np.maximum(0, 1 - np.abs(times[:, None] - times) / half)
    wanted = weights @ happy / weights.sum(1)
    np.testing.assert_allclose(smoothed(list(happy), half), wanted, atol=1e-9)


def test_no_more_is_held_than_the_window() -> None:
    given = 0

    def counted():
        nonlocal given
        for moment in moments([0.5] * 1000):
            given += 1
            yield moment

    stream = smooth(counted(), 0.3)
    for taken in range(1, 900):
        next(stream)
        assert given - taken <= 4


def test_a_chart_of_any_length_keeps_its_means(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(timeline, "COLUMNS", 8)
    chart = Chart(("happy", "sad"))
    for moment in smooth(moments([0.0] * 32 + [1.0] * 32), 0):
        chart.add(moment)  # 6.4 s: columns of 1/32 s have become columns of 1 s
    times, shares = chart.columns()
    assert times.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert shares[:, 0].tolist() == pytest.approx([0, 0, 0, 0.8, 1, 1, 1])  # 3.0, 3.1 s are before the change
    np.testing.assert_allclose(shares.sum(1), 1)
    chart.draw(tmp_path / "chart.png")
    assert Image.open(tmp_path / "chart.png").size == (1200, 400)


def test_a_chart_without_a_face_is_empty(tmp_path: Path) -> None:
    chart = Chart(("happy", "sad"))
    for moment in smooth(moments([None, None]), 1.0):
        chart.add(moment)
    assert len(chart.columns()[0]) == 0
    chart.draw(tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size > 1000
