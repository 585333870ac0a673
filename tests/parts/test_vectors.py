from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.config import MienError
from mien.parts.vectors import Principal, contrast_vectors, gather, refuse_unusable
from tests import tiny


def vectors_of(faces: torch.Tensor) -> torch.Tensor:
    return contrast_vectors(faces, 8)


def test_vectors_have_mean_zero_and_mean_length_one() -> None:
    vectors = vectors_of(tiny.faces(5).faces)
    assert vectors.shape == (5, 192)
    torch.testing.assert_close(vectors.mean(dim=1), torch.zeros(5), rtol=0, atol=1e-6)
    torch.testing.assert_close(vectors.abs().mean(dim=1), torch.ones(5), rtol=0, atol=1e-4)


def test_all_faces_are_gathered_in_order() -> None:
    faces = tiny.faces(11)
    parts = [faces.select(range(6)), faces.select(range(6, 11))]
    np.testing.assert_array_equal(gather(parts, vectors_of, 100, "x"), vectors_of(faces.faces).double())


def test_beyond_the_cap_seeds_choose_whatever_the_batches() -> None:
    faces = tiny.faces(30)
    some = gather([faces], vectors_of, 10, "x")
    assert some.shape == (10, 192)
    np.testing.assert_array_equal(
        gather([faces.select(r) for r in torch.arange(30).split(7)], vectors_of, 10, "x"), some
    )
    others = gather([replace(faces, seed=faces.seed + 1)], vectors_of, 10, "x")
    assert not np.array_equal(others, some)


def test_a_vector_that_is_not_finite_is_named() -> None:
    vectors = torch.rand(3, 4)
    vectors[1, 2] = float("nan")
    with pytest.raises(MienError, match="svdd: feature 2 of training face b is nan"):
        refuse_unusable(vectors, ["a", "b", "c"], "svdd")


def test_a_face_without_contrast_is_named() -> None:
    faces = tiny.faces(4)
    faces.faces[2] = 90
    with pytest.raises(MienError, match="training face face-0-2 are equal"):
        gather([faces], vectors_of, 100, "svdd")


def test_copies_of_one_face_are_refused() -> None:
    with pytest.raises(MienError, match="every feature is constant over 3 training faces, from face-0-1"):
        gather([tiny.faces(4).select([1, 1, 1])], vectors_of, 100, "svdd")


def test_no_face_at_all_is_refused() -> None:
    with pytest.raises(MienError, match="no training face"):
        gather([], vectors_of, 100, "svdd")


def test_components_hold_the_share_and_no_more_of_them_than_needed() -> None:
    cloud = np.random.default_rng(0).normal(size=(50, 6)) * [9, 5, 3, 0.5, 0.1, 0.1] + 7
    project = Principal(6)
    projected = project.solve(cloud, 0.95)
    share = projected.var(axis=0) / cloud.var(axis=0).sum()
    assert share.sum() >= 0.95 > share[:-1].sum()
    np.testing.assert_allclose(project(torch.from_numpy(cloud).float()), projected, rtol=0, atol=1e-5)


def test_one_face_has_no_component() -> None:
    project = Principal(3)
    assert project.solve(np.ones((1, 3)), 0.95).tolist() == [[0.0]]
    assert project(torch.rand(2, 3)).tolist() == [[0.0], [0.0]]


def test_a_file_of_another_size_is_taken() -> None:
    solved, fresh = Principal(6), Principal(6)
    solved.solve(np.random.default_rng(0).normal(size=(9, 6)), 0.9)
    fresh.load_state_dict(solved.state_dict())
    assert torch.equal(fresh.components, solved.components)
    assert len(fresh.components) > 0
