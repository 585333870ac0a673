"""Rays, surfaces and light of the rendered corpus, on scenes small enough to know the answer."""

import numpy as np
import pytest
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh

from mien.corpora.rendered.atlas import vertex_normals
from mien.corpora.rendered.shading import Hits, surfaces
from mien.corpora.rendered.stage import Light, Material, Piece, joined
from mien.corpora.rendered.trace import SAMPLES, _first_hits, _grid, _worth_casting, render

PX = 32
MATT = Material(gloss=0.0, sharpness=1.0, wrap=0.0)
RED = np.float32([0.5, 0.2, 0.1])


def sheet(y: float, side: float, x: float = 0.0, colour: np.ndarray = RED) -> Piece:
    """A square across the line of sight, `y` metres away, that faces the camera."""
    at = side / 2
    vertices = np.float32([[x - at, y, -at], [x + at, y, -at], [x + at, y, at], [x - at, y, at]])
    triangles = np.int32([[0, 1, 2], [0, 2, 3]])
    normals = np.tile(np.float32([0, -1, 0]), (4, 1))
    return Piece(vertices, triangles, normals, 0, colours=np.tile(colour, (4, 1)))


def lamp(towards: list[float], key: float = 0.0, fill: float = 0.0) -> Light:
    direction = np.float32(towards) / np.linalg.norm(towards)
    none = np.zeros(3, np.float32)
    return Light(
        direction.astype(np.float32),
        np.full(3, key, np.float32),
        0.0,
        none,
        none,
        np.full(3, fill, np.float32),
    )


def cast(pieces: list[Piece], light: Light) -> tuple[np.ndarray, np.ndarray]:
    return render(pieces, [MATT], light, PX, 0.5, np.random.default_rng(0), np.eye(3, dtype=np.float32))


def test_rays_that_are_left_out_would_have_met_nothing():
    rng = np.random.default_rng(0)
    for half in (0.1, 0.5):
        middle = rng.uniform([-0.3, 1, -0.3], [0.3, 2, 0.3], (20, 1, 3))
        vertices = (middle + rng.normal(0, 0.06, (20, 3, 3))).reshape(-1, 3).astype(np.float32)
        triangles = np.arange(60, dtype=np.int32).reshape(-1, 3)
        mesh = joined([Piece(vertices, triangles, vertices, 0, colours=vertices)])
        scene = rtcore_scene.EmbreeScene()
        TriangleMesh(scene, vertices, triangles)
        met = np.flatnonzero(_first_hits(scene, _grid(PX) * np.float32([half, 1, half]))["primID"] >= 0)
        samples = _worth_casting(mesh, PX * SAMPLES, half)
        assert len(met) > 50
        assert np.isin(met, samples).all()
        assert np.all(np.diff(samples) > 0)
        assert len(samples) < (PX * SAMPLES) ** 2


def test_what_lies_between_the_corners_is_linear():
    """Colours that are the corners' places give each hit its own place back."""
    rng = np.random.default_rng(1)
    plain = sheet(1.0, 0.8)
    pieces = [
        Piece(p.vertices, p.triangles, p.normals, 0, colours=p.vertices) for p in (plain, sheet(2.0, 3.0))
    ]
    u = rng.uniform(0, 0.5, 200).astype(np.float32)
    v = rng.uniform(0, 0.5, 200).astype(np.float32)
    triangle = rng.integers(0, 4, 200).astype(np.int32)
    mesh = joined(pieces)
    a, b, c = (mesh.vertices[mesh.triangles[triangle, k]] for k in range(3))
    points = np.ascontiguousarray((a + (b - a) * u[:, None] + (c - a) * v[:, None]).T)
    opens = mesh.vertices[:, 1] / 4
    seen = surfaces(mesh, [MATT, MATT], opens, Hits(points, triangle, u, v), np.eye(3, dtype=np.float32))
    np.testing.assert_allclose(seen.albedo, points, atol=1e-6)
    np.testing.assert_allclose(seen.open, points[1] / 4, atol=1e-6)
    np.testing.assert_array_equal(seen.material, triangle // 2)
    np.testing.assert_allclose(seen.normal, np.broadcast_to([[0], [-1], [0]], (3, 200)), atol=1e-6)


def test_light_by_hand():
    # the key light falls at 60 degrees from the sheet's normal, so half of it arrives
    towards = [0.0, -0.5, 3**0.5 / 2]
    colour, cover = cast([sheet(1.0, 0.6)], lamp(towards, key=0.8))
    np.testing.assert_allclose(colour[PX // 2, PX // 2], RED * 0.5 * 0.8, rtol=1e-5)
    assert cover[PX // 2, PX // 2] == 1
    # 0.6 m wide at 1 m, seen in a field of view 1 m wide
    assert cover.sum() == pytest.approx((0.6 * PX) ** 2, rel=0.05)
    np.testing.assert_array_equal(colour[0, 0], 0)
    # light from the camera reaches what is open without shadow
    colour, _ = cast([sheet(1.0, 0.6)], lamp(towards, fill=0.3))
    np.testing.assert_allclose(colour[PX // 2, PX // 2], RED * 0.3, rtol=1e-3)


def test_what_stands_in_the_light_throws_a_shadow():
    wall, blocker = sheet(1.0, 0.9), sheet(0.8, 0.05, x=0.2)
    # the light comes from the right, so the shadow falls to the left of what stands in it
    colour, _ = cast([wall, blocker], lamp([1.0, -1.0, 0.0], key=1.0))
    bright = colour[PX // 2, :, 0] / RED[0]
    dark = np.flatnonzero(bright < 0.1)
    lit = np.flatnonzero(bright > 0.6)
    # blocked are the places near x = 0.2 - 0.2, in the middle of the picture
    assert np.abs(dark[(dark > 5) & (dark < PX - 6)] - (PX - 1) / 2).max() <= 2
    assert len(lit) > 20


def test_normals_weigh_triangles_by_their_area():
    vertices = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 2], [9, 9, 9]])
    triangles = np.int32([[0, 1, 2], [0, 2, 3]])  # one up with area 1/2, one along x with area 1
    normals = vertex_normals(vertices, triangles)
    np.testing.assert_allclose(normals[1], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(normals[3], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(normals[0], np.array([2, 0, 1]) / 5**0.5, atol=1e-6)
    np.testing.assert_array_equal(normals[4], 0)
