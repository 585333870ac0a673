"""Things that hide part of a face in wild pictures: glasses, a hand, a mask, a scarf, a strand of hair.

All are placed in millimetres in the head's axes, from the point between the eyes: X to the person's left, Y
backwards, Z up.
"""

import numpy as np

from mien.corpora.rendered.arrays import Floats, Ints, floats
from mien.corpora.rendered.atlas import vertex_normals
from mien.corpora.rendered.canvas import azimuth_of
from mien.corpora.rendered.face import Face, cut_out, plain
from mien.corpora.rendered.stage import Piece

_AROUND = 10  # corners of a tube's cross-section


def occluder_of(
    kind: str, face: Face, vertices: Floats, material: int, rng: np.random.Generator
) -> list[Piece]:
    """Pieces of the thing, in the head's axes; `vertices` (V, 3) of the displayed head in metres."""
    if kind in ("glasses", "sunglasses"):
        return _glasses(face, kind == "sunglasses", material, rng)
    if kind == "hand":
        return _hand(face, material, rng)
    if kind == "strand":
        return _strand(face, vertices, material, rng)
    return _cloth(face, kind == "scarf", material, rng)


def tube(points: Floats, radius: Floats) -> tuple[Floats, Ints]:
    """Skin of a tube along points (n, 3) with radii (n,): vertices (n * _AROUND, 3) and triangles, without
    caps."""
    ahead = np.gradient(points, axis=0)
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    aside = np.cross(ahead, floats([0.31, 0.22, 0.93]))
    aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
    across = np.cross(ahead, aside)
    turn = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    ring = np.cos(turn)[None, :, None] * aside[:, None] + np.sin(turn)[None, :, None] * across[:, None]
    vertices = (points[:, None] + radius[:, None, None] * ring).reshape(-1, 3)
    start = np.arange(len(points) - 1)[:, None] * _AROUND
    k = np.arange(_AROUND)
    a, b = start + k, start + (k + 1) % _AROUND
    quads = np.stack([a, b, b + _AROUND, a + _AROUND], axis=-1).reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    return vertices.astype(np.float32), triangles


def _tubes(
    lines: list[tuple[Floats, Floats]], material: int, colour: Floats | tuple[float, float, float]
) -> Piece:
    """One piece of several tubes given in millimetres."""
    vertices, triangles, count = [], [], 0
    for points, radius in lines:
        v, t = tube(floats(points), floats(radius))
        vertices.append(v)
        triangles.append(t + count)
        count += len(v)
    return plain(np.concatenate(vertices) / np.float32(1000), np.concatenate(triangles), material, colour)


def _glasses(face: Face, dark: bool, material: int, rng: np.random.Generator) -> list[Piece]:
    frame = (
        floats([0.02, 0.018, 0.016]) if rng.random() < 0.6 else rng.uniform(0.02, 0.35, 3).astype(np.float32)
    )
    wide, high = rng.uniform(22, 27), rng.uniform(16, 23)
    squareness, wire = rng.uniform(2, 4), rng.uniform(0.7, 1.9)
    turn = np.linspace(0, 2 * np.pi, 36)
    centres = (face.eye_centres - face.centre) * 1000
    mean = face.studio.mean_mm
    worn = (
        (np.abs(mean[:, 2]) < 20) & (np.abs(mean[:, 0]) > 12) & (np.abs(mean[:, 0]) < 44) & (mean[:, 1] < 10)
    )
    front = 1000 * float((face.rest - face.centre)[worn, 1].min()) - rng.uniform(3, 7)
    lines, lenses = [], []
    for side, centre in zip((1, -1), centres, strict=True):
        c, s = np.cos(turn), np.sin(turn)
        x = np.sign(c) * np.abs(c) ** (2 / squareness) * wide + centre[0] + side * 1.5
        z = np.sign(s) * np.abs(s) ** (2 / squareness) * high + centre[2] - 3
        rim = np.stack([x, front + 0.0035 * (x * x) + 0 * z, z], axis=1)
        lines.append((rim, np.full(len(rim), wire)))
        outer = rim[np.argmax(side * rim[:, 0])]
        temple = np.linspace(0, 1, 8)[:, None] * (floats([side * 80, 78, 4]) - outer) + outer
        lines.append((temple, np.full(8, wire)))
        lenses.append(rim)
    bridge = np.stack(
        [np.linspace(-1, 1, 6) * (centres[0, 0] - wide + 2), np.full(6, front), np.full(6, -1.0)], axis=1
    )
    lines.append((bridge, np.full(6, wire)))
    pieces = [_tubes(lines, material, frame)]
    if dark:
        pieces += [_disc(rim, material, (0.012, 0.012, 0.014)) for rim in lenses]
    return pieces


def _disc(rim: Floats, material: int, colour: tuple[float, float, float]) -> Piece:
    """A flat sheet within a closed line in millimetres."""
    points = np.concatenate([rim.mean(axis=0, keepdims=True), rim]).astype(np.float32) / np.float32(1000)
    k = np.arange(1, len(rim))
    return plain(points, np.stack([np.zeros_like(k), k, k + 1], axis=1).astype(np.int32), material, colour)


def _hand(face: Face, material: int, rng: np.random.Generator) -> list[Piece]:
    """Fingers against a cheek or across the mouth."""
    side = rng.choice([-1.0, 1.0])
    lines = []
    across = rng.random() < 0.5
    lift = rng.uniform(-12, 14)
    for finger in range(4):
        t = 1 - np.linspace(1, 0, 12) ** 1.5
        if across:  # over the mouth
            x = side * (78 - t * rng.uniform(88, 112))
            y = -34 - 24 * np.sin(np.pi * np.clip(t, 0, 0.85)) + 38 * (1 - t) ** 2
            z = -108 + 17.5 * finger + lift + 6 * t
        else:  # up along the cheek
            x = side * (78 - 17 * finger - 14 * t)
            y = 8 - 46 * np.sin(np.pi * 0.6 * t) - 4.0 * finger
            z = -128 + t * rng.uniform(80, 105) + lift
        radius = (8.8 - 1.8 * t) * np.sqrt(np.clip((1.0 - t) / 0.12, 0.003, 1))
        lines.append((floats(np.stack([x, y, z], axis=1)), floats(radius)))
    return [_tubes(lines, material, face.person.skin * np.float32(0.92))]


def _strand(face: Face, vertices: Floats, material: int, rng: np.random.Generator) -> list[Piece]:
    """Hair that falls over one eye."""
    front = float(vertices[:, 1].min() * 1000)
    start, end = rng.uniform(-30, 30), rng.choice([-1, 1]) * rng.uniform(22, 52)
    t = np.linspace(0, 1, 14)
    lines = []
    for _ in range(rng.integers(8, 20)):
        x = start + rng.normal(0, 5) + (end + rng.normal(0, 4) - start) * t**1.2
        y = -14 + (0.62 * front - 2) * np.sin(np.pi * np.clip(0.15 + 0.6 * t, 0, 1)) + rng.normal(0, 1.5)
        z = 72 - t * rng.uniform(105, 150)
        lines.append((floats(np.stack([x, y, z], axis=1)), floats(1.3 * (1 - 0.6 * t))))
    return [_tubes(lines, material, face.person.hair.colour)]


def _cloth(face: Face, scarf: bool, material: int, rng: np.random.Generator) -> list[Piece]:
    """A mask over nose and mouth, or a scarf up to the mouth: a sheet a little before the skin at rest."""
    mean = face.studio.mean_mm
    top = rng.uniform(-95, -62) if scarf else rng.uniform(-42, -24)
    low = -190.0 if scarf else -122.0
    reach = 100.0 if scarf else rng.uniform(58, 70)
    azimuth = np.abs(azimuth_of(mean))
    covered = (mean[:, 2] < top - 0.12 * azimuth * (not scarf)) & (mean[:, 2] > low) & (azimuth < reach)
    skin = face.studio.basis.skin
    outside = face.studio.atlas.island != 1
    triangles = skin[covered[skin].all(axis=1) & outside]
    rest = face.rest - face.centre
    normals = vertex_normals(rest, skin)
    # the lips' folds must not show: they are pushed out most
    lips = np.exp(-((mean[:, 0] / 26) ** 2) - ((mean[:, 2] + 74) / 16) ** 2)
    thick = (
        (9.0 if scarf else 4.0)
        + 4.0 * lips
        + (1.5 * np.sin(mean[:, 2] / 4.0 + mean[:, 0] / 17) if scarf else 0)
    )
    sheet = rest + normals * (thick[:, None] / 1000).astype(np.float32)
    palettes = ([0.35, 0.55, 0.70], [0.75, 0.75, 0.74], [0.02, 0.02, 0.02])
    colour = rng.uniform(0.02, 0.6, 3) if scarf else np.array(palettes[rng.integers(3)])
    cloth = cut_out(triangles)
    return [plain(sheet[cloth.vertices], cloth.triangles, material, colour.astype(np.float32))]
