import math

import numpy as np
import pytest

from mien.evaluation.identity.verification import equal_error, verify


def unit(degrees: list[float]) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_shares_beyond_both_readings_of_the_threshold() -> None:
    faces, made = unit([0, 0, 0, 0]), unit([10, 70, 80, 180])  # squared: 2 - 2 cos
    found = verify(faces, made, faces, np.array([0, 1, 2, -1]))
    assert found.beyond_squared == 0.75  # 1.242 lies at 67.7 degrees
    assert found.beyond_plain == 0.5  # 1.242 plain lies at 76.8 degrees
    assert verify(unit([0]), unit([72]), unit([0]), np.array([0])).beyond_squared == 1
    assert verify(unit([0]), unit([72]), unit([0]), np.array([0])).beyond_plain == 0


def test_the_own_threshold_parts_one_persons_pairs_from_two_peoples() -> None:
    faces, person = unit([0, 10, 90, 100, 200, 210]), np.array([0, 0, 1, 1, 2, 2])
    threshold, error = equal_error(faces, person)
    assert error == 0
    assert 2 - 2 * math.cos(math.radians(10)) <= threshold + 1e-9 < 2 - 2 * math.cos(math.radians(80))
    assert verify(faces, unit([5, 15, 95, 5, 205, 215]), faces, person).beyond_own == pytest.approx(1 / 6)


def test_without_pairs_of_both_kinds_there_is_no_own_threshold() -> None:
    found = verify(unit([0, 50]), unit([1, 51]), unit([0, 50]), np.array([0, 1]))
    assert math.isnan(found.threshold)
    assert math.isnan(found.beyond_own)
    assert found.beyond_plain == 0
