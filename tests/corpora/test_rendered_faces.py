"""The parts of the rendered corpus: actions, action units, displays, people, geometry."""

from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from mien.corpora.rendered.actions import ACTIONS, mirrored
from mien.corpora.rendered.basis import Basis, build_basis, load_basis
from mien.corpora.rendered.facs import ACTIONS_OF, MOST, actions_of
from mien.corpora.rendered.landmarks import vertex_numbers
from mien.corpora.rendered.people import BEARDS, HAIR, draw_person
from mien.corpora.rendered.plan import curve
from mien.corpora.rendered.prototypes import IDLE, VARIANTS, display
from mien.corpora.rendered.shape import moved, neutral_shape
from mien.corpora.rendered.shots import lab_shot, turn_of, view_of, wild_shot
from mien.corpora.rendered.trace import project
from mien.manifest.expressions import EXPRESSIONS
from tests.corpora.rendered_cache import basis_folder

MIDDLING = {
    "gender": 0.5,
    "age": 0.3,
    "muscle": 0.5,
    "weight": 0.5,
    "african": 1.0,
    "asian": 1.0,
    "caucasian": 1.0,
}


@pytest.fixture(scope="module")
def basis(tmp_path_factory: pytest.TempPathFactory) -> Basis:
    return load_basis(basis_folder(tmp_path_factory))


def test_there_are_52_actions_and_mirroring_them_twice_changes_nothing():
    assert len(set(ACTIONS)) == 52
    assert all(mirrored(name) in ACTIONS for name in ACTIONS)
    assert [mirrored(mirrored(name)) for name in ACTIONS] == list(ACTIONS)
    assert mirrored("mouthSmileLeft") == "mouthSmileRight"
    assert mirrored("jawOpen") == "jawOpen"


def test_mirrored_actions_move_the_mirrored_face(basis: Basis):
    rest = basis.template
    twin = np.array(
        [np.argmin(np.linalg.norm(rest - p * [-1, 1, 1], axis=1)) for p in rest[vertex_numbers()]]
    )
    for name in ("mouthSmileLeft", "browDownLeft", "eyeBlinkLeft", "mouthStretchLeft", "noseSneerLeft"):
        one = moved(basis, {name: 1.0})[vertex_numbers()]
        other = moved(basis, {mirrored(name): 1.0})[twin]
        np.testing.assert_allclose(one * [-1, 1, 1], other, atol=4e-4)  # 0.4 mm: the targets are hand-made


def test_landmarks_lie_on_distinct_vertices_and_the_eyes_are_symmetric(basis: Basis):
    numbers = vertex_numbers()
    assert numbers.shape == (68,)
    assert len(set(numbers.tolist())) == 68
    p = neutral_shape(basis, MIDDLING, {})[numbers] * 1000
    np.testing.assert_allclose(p[36:40] * [-1, 1, 1], p[[45, 44, 43, 42]], atol=0.05)
    np.testing.assert_allclose(p[0:8] * [-1, 1, 1], p[16:8:-1], atol=0.05)
    assert (
        55 < p[42:48].mean(axis=0)[0] - p[36:42].mean(axis=0)[0] < 72
    )  # millimetres between the eyes of an adult


def test_neutral_shape_by_hand(basis: Basis):
    young_man = {
        "gender": 0.0,
        "age": 0.0,
        "muscle": 0.5,
        "weight": 0.5,
        "african": 0,
        "asian": 0,
        "caucasian": 2.0,
    }
    # number 4 of UNIVERSAL is male, young, average, average; number 8 of ANCESTRAL caucasian, male, young
    expected = basis.template + basis.universal[4] + basis.ancestral[8]
    np.testing.assert_allclose(neutral_shape(basis, young_man, {}), expected, atol=1e-6)
    name = str(basis.local_names[0])
    lower = neutral_shape(basis, young_man, {name: -0.5})
    np.testing.assert_allclose(lower, expected + 0.5 * basis.local_signs[1, 0], atol=1e-6)


def test_action_units_become_actions():
    assert actions_of({"AU12": 0.5}) == pytest.approx({"mouthSmileLeft": 0.65, "mouthSmileRight": 0.65})
    assert actions_of({"AU26": 1.0}) == pytest.approx({"jawOpen": 0.35})
    leaning = actions_of({"AU12": 0.5}, {"AU12": 1.0})
    assert leaning["mouthSmileRight"] == 0
    assert actions_of({"AU26": 1.0, "AU27": 1.0, "AU25": 1.0, "AU9": 1.0, "AU4": 1.0})["browDownLeft"] == MOST
    known = {name.removesuffix("*") + side for t in ACTIONS_OF.values() for name in t
             for side in (("Left", "Right") if name.endswith("*") else ("",))}  # fmt: skip
    assert known <= set(ACTIONS)


def test_every_expression_has_ways_to_be_shown():
    assert tuple(VARIANTS) == EXPRESSIONS
    for expression, variants in VARIANTS.items():
        assert expression == "neutral" or len(variants) >= 2
        for variant in variants:
            assert set(variant.units) | set(variant.maybe) <= set(ACTIONS_OF)
    assert set(IDLE) <= set(ACTIONS_OF)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_display_grows_from_the_resting_face(expression: str):
    shown = display(expression, 0.8, {"AU4": 0.2}, 0.5, np.random.default_rng(3))
    assert shown.at(0.0) == dict(sorted(shown.idle.items()))
    for unit, weight in shown.at(1.0).items():
        assert shown.at(0.0).get(unit, 0.0) <= shown.at(0.5).get(unit, 0.0) <= weight <= 1
    assert "AU4" in shown.idle
    assert (shown.units == {}) == (expression == "neutral")


def test_contempt_is_shown_on_one_side():
    for seed in range(6):
        shown = display("contempt", 1.0, {}, 0.0, np.random.default_rng(seed))
        assert abs(shown.tilt["AU14"]) >= 0.6


def test_people_differ_and_each_stays_the_same(basis: Basis):
    people = [draw_person(basis, 0, n) for n in range(60)]
    again = draw_person(basis, 0, 7)
    assert again.local == people[7].local
    assert str(again) == str(people[7])
    assert [p.subject for p in people[:2]] == ["p0000", "p0001"]
    assert min(p.years for p in people) >= 18
    assert {p.hair.style for p in people} == set(HAIR)
    assert {p.beard for p in people if p.macro["gender"] > 0.5} == {"none"}
    assert {p.beard for p in people} <= set(BEARDS)
    assert 15 < sum(p.macro["gender"] < 0.5 for p in people) < 45
    assert min(p.melanin for p in people) < 0.2 < 0.7 < max(p.melanin for p in people)


def test_curves_begin_at_rest():
    np.testing.assert_allclose(curve(3, falls=False, sharpness=1.0), [0, 0.5, 1], atol=1e-12)
    np.testing.assert_allclose(curve(5, falls=True, sharpness=1.0), [0, 0.5, 1, 0.5, 0], atol=1e-12)


def test_projection_by_hand():
    points = np.array([[0, 1, 0], [0.5, 1, 0], [0, 2, 1]], np.float32)
    np.testing.assert_allclose(project(points, 64, 0.5), [[31.5, 31.5], [63.5, 31.5], [31.5, -0.5]])


def test_turns_and_views():
    shot = lab_shot(np.random.default_rng(0))
    for seed in range(20):
        wild = wild_shot(np.random.default_rng(seed), 0.2)
        turn = turn_of(wild)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
        assert abs(wild.yaw) <= 48
    ahead = turn_of(shot) @ [0, -1, 0]
    assert np.sign(ahead[0]) == np.sign(shot.yaw)
    assert [view_of(y) for y in (0, 20, -20, 40, -40)] == [
        "frontal",
        "half-left",
        "half-right",
        "left",
        "right",
    ]


def test_the_basis_is_read_back_as_it_was_made(basis: Basis):
    fresh = build_basis()  # two seconds: the targets are read from the wheel, no model is built
    for name in ("template", "universal", "actions", "local_signs", "uv", "skin", "eyes", "masks"):
        np.testing.assert_array_equal(getattr(fresh, name), getattr(basis, name))
    assert basis.universal.shape[0] == 36
    assert basis.ancestral.shape[0] == 12
    assert basis.actions.shape[0] == 52


def test_a_shape_is_the_same_whatever_number_of_threads_blas_has(basis: Basis):
    rng = np.random.default_rng(0)
    macro = {name: float(rng.uniform()) for name in MIDDLING}
    with threadpool_limits(2, user_api="blas"):
        several = neutral_shape(basis, macro, {})
    with threadpool_limits(1, user_api="blas"):
        np.testing.assert_array_equal(neutral_shape(basis, macro, {}), several)


@pytest.mark.slow
def test_the_basis_equals_annys_own_forward_pass(
    basis: Basis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Vertices at rest within 0.001 mm; takes a minute or two, because anny builds its model."""
    monkeypatch.setenv("ANNY_CACHE_DIR", str(tmp_path))
    import anny

    model = anny.Anny(local_changes="default", facial_actions="all", phenotypes="all", skinning_method="lbs")
    place = {int(s): k for k, s in enumerate(model.base_mesh_vertex_indices)}
    ours = [k for k, s in enumerate(basis.source) if int(s) in place]
    theirs = [place[int(basis.source[k])] for k in ours]
    rng = np.random.default_rng(0)
    for _ in range(3):
        macro = {name: float(rng.uniform()) for name in MIDDLING}
        local = {str(n): float(rng.normal(0, 0.3)) for n in rng.choice(basis.local_names, 40, replace=False)}
        actions = {str(a): float(rng.uniform()) for a in rng.choice(ACTIONS, 8, replace=False)}
        told = {**macro, "age": 2 / 3 + macro["age"] / 3}
        rest = model(phenotype_kwargs=told, local_changes_kwargs=local, facial_actions=actions)[
            "rest_vertices"
        ][0]
        here = neutral_shape(basis, macro, local) + moved(basis, actions)
        np.testing.assert_allclose(here[ours], rest.detach().numpy()[theirs], atol=1e-6)
