import math

import numpy as np
import pytest

from mien.evaluation.one_class.regions import PATCHES, PROTOTYPES, mask, polygons, share_inside


def face():
    """Landmarks of a schematic frontal face, 100 px wide: what the tests need stands where it should."""
    points = np.full((68, 2), 50, dtype=np.float32)
    points[:17] = [(10 + 5 * i, 40 + 50 * math.sin(math.pi * i / 16)) for i in range(17)]  # jaw, chin at y 90
    points[17:27] = [(20 + 60 * i / 9, 30) for i in range(10)]  # brows at y 30
    points[27:31] = [(50, 38 + 5 * i) for i in range(4)]  # nose bridge
    points[31:36] = [(44 + 3 * i, 56) for i in range(5)]  # nostrils
    for first, x in ((36, 25), (42, 60)):  # eyes at y 40
        points[first : first + 6] = [
            (x, 40),
            (x + 5, 37),
            (x + 10, 37),
            (x + 15, 40),
            (x + 10, 43),
            (x + 5, 43),
        ]
    points[48:60] = [
        (50 + 14 * math.cos(a), 70 - 5 * math.sin(a)) for a in np.linspace(math.pi, -math.pi, 12, False)
    ]
    points[60:68] = (50, 70)
    return points


def inside(expression, x, y, points=None):
    return bool(mask(polygons(face() if points is None else points, expression), 100, 100)[y, x])


@pytest.mark.parametrize(
    ("expression", "within", "without"),
    [
        ("happy", [(50, 70), (36, 70), (30, 48)], [(50, 20), (50, 48), (32, 36)]),  # mouth, corner, cheek
        ("sad", [(50, 24), (30, 30), (36, 70)], [(50, 55), (22, 22)]),  # inner brow, brow, corner
        ("surprise", [(50, 24), (25, 24), (32, 40), (50, 80)], [(50, 50), (5, 5)]),
        ("anger", [(50, 33), (32, 40), (50, 70)], [(50, 52), (50, 85)]),
        ("disgust", [(50, 45), (36, 70), (50, 76)], [(32, 40), (25, 28)]),
    ],
)
def test_regions_lie_where_the_units_move_the_face(expression, within, without):
    assert [inside(expression, *place) for place in within] == [True] * len(within)
    assert [inside(expression, *place) for place in without] == [False] * len(without)


def test_neutral_has_no_region():
    assert polygons(face(), "neutral") == []
    assert not mask([], 10, 10).any()


def test_every_unit_of_every_prototype_has_a_region():
    assert {unit for units in PROTOTYPES.values() for unit in units} <= set(PATCHES)


def test_regions_move_and_grow_with_the_face():
    moved = face() * 0.5 + np.array([20, 10], dtype=np.float32)
    for expression in PROTOTYPES:
        pairs = zip(polygons(face(), expression), polygons(moved, expression), strict=True)
        for whole, half in pairs:
            np.testing.assert_allclose(half.min(axis=0), whole.min(axis=0) * 0.5 + (20, 10), atol=1e-3)
            np.testing.assert_allclose(half.max(axis=0), whole.max(axis=0) * 0.5 + (20, 10), atol=1e-3)


def test_a_shared_region_counts_once():
    assert len(polygons(face(), "anger")) == 1 + 2 + 1  # lids serve 5 and 7


def test_share_of_heat_by_hand():
    heat = np.array([[1, 2], [3, 4]], dtype=np.float32)
    within = np.array([[False, True], [False, True]])
    assert share_inside(heat, within) == pytest.approx(0.6)
    assert share_inside(np.ones((4, 4), np.float32), np.eye(4, dtype=bool)) == pytest.approx(4 / 16)
    assert math.isnan(share_inside(np.zeros((2, 2), np.float32), within))
