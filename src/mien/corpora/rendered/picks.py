"""How `landmarks.json` was made: `python -m mien.corpora.rendered.picks BASIS_FOLDER > landmarks.json`.

TARGETS were read off once: a public 68-point predictor was run on 40 rendered neutral faces, its points were
cast back onto the mesh, and the medians on the mean head were made symmetric. Each point is the vertex
nearest to its target among those the camera sees; the inner lips are the lowest of the upper and the highest
of the lower lip that an opening jaw bares, because there the closed lips' points coincide.
"""

import json
import sys
from pathlib import Path

import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from numpy.typing import NDArray

from mien.corpora.rendered.arrays import Floats, floats
from mien.corpora.rendered.basis import Basis, load_basis
from mien.corpora.rendered.face import Studio, open_studio
from mien.corpora.rendered.shape import moved

# point: X to the person's left, Y backwards, Z up, in millimetres from between the eyes of the mean head
TARGETS: dict[int, tuple[float, float, float]] = {
    8: (0, -3.9, -118.0), 9: (17.6, -5.0, -114.9), 10: (32.9, 1.8, -104.5), 11: (47.1, 15.3, -92.2),
    12: (57.8, 27.5, -77.1), 13: (64.8, 38.8, -57.5), 14: (70.5, 55.6, -39.9), 15: (74.4, 62.3, -20.6),
    16: (76.0, 66.4, -2.3), 22: (11.6, -27.5, 16.0), 23: (23.2, -26.3, 20.0), 24: (35.3, -22.4, 21.2),
    25: (47.4, -14.5, 19.3), 26: (57.9, -1.0, 13.2), 27: (0, -24.7, -2.2), 28: (0, -29.6, -14.9),
    29: (0, -37.9, -27.4), 30: (0, -44.3, -38.7), 33: (0, -32.9, -52.5), 34: (6.9, -31.1, -50.5),
    35: (13.2, -27.0, -47.9), 42: (18.0, -14.7, -6.0), 43: (26.7, -17.8, 1.9), 44: (37.1, -17.3, 2.4),
    45: (45.8, -9.7, -3.6), 46: (37.9, -14.6, -7.9), 47: (27.5, -16.1, -7.9), 51: (0, -36.1, -65.4),
    52: (6.5, -34.9, -63.8), 53: (15.6, -30.7, -67.2), 54: (24.2, -20.7, -74.3), 55: (15.9, -27.1, -81.2),
    56: (7.0, -30.0, -84.4), 57: (0, -31.1, -84.8), 64: (20.5, -21.3, -74.0),
}  # fmt: skip
# point: X and lip
INNER_LIPS = {62: (0.0, "upper"), 63: (7.0, "upper"), 65: (7.0, "lower"), 66: (0.0, "lower")}
MIRROR = np.array(
    [
        *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31,
        45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
        54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
    ]
)  # fmt: skip
"""Number of each point's mirror image."""


def pick(studio: Studio) -> NDArray[np.int64]:
    """Vertices of the 68 points, (68,)."""
    basis, mm = studio.basis, studio.mean_mm
    rest = _seen(basis, mm)
    chosen = {n: _nearest(mm, rest, floats(t)) for n, t in TARGETS.items()}
    agape = mm + 1000 * moved(basis, {"jawOpen": 0.6})
    bared = _seen(basis, agape)
    drop = mm[:, 2] - agape[:, 2]
    for number, (x, lip) in INNER_LIPS.items():
        near = bared & (np.abs(mm[:, 0] - x) < 2.2) & (np.abs(mm[:, 2] + 74) < 12) & (mm[:, 1] < -20)
        near &= (drop < 3) if lip == "upper" else (drop > 8)
        order = agape[:, 2] if lip == "upper" else -agape[:, 2]
        chosen[number] = int(np.flatnonzero(near)[np.argmin(order[near] + 0.3 * np.abs(mm[near, 0] - x))])
    for number in range(68):
        if number not in chosen:
            twin = mm[chosen[int(MIRROR[number])]] * floats([-1, 1, 1])
            chosen[number] = int(np.argmin(np.linalg.norm(mm - twin, axis=1)))
    return np.array([chosen[n] for n in range(68)])


def _nearest(mm: Floats, allowed: NDArray[np.bool_], target: Floats) -> int:
    away = np.linalg.norm((mm - target) * floats([1, 0.4, 1]), axis=1)
    return int(np.argmin(np.where(allowed, away, np.inf)))


def _seen(basis: Basis, mm: Floats) -> NDArray[np.bool_]:
    """Vertices of the skin that a camera in front sees; those of the jaw's edge count as seen."""
    scene = rtcore_scene.EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray(mm[basis.skin], np.float32))
    origins = mm + floats([0, -0.4, 0])
    hits = scene.run(origins, np.tile(floats([0, -1, 0]), (len(mm), 1)), output=1)
    own = np.zeros(len(mm), bool)
    own[basis.skin] = True
    return np.asarray(own & ((hits["primID"] < 0) | (mm[:, 1] > 10)))


if __name__ == "__main__":
    numbers = pick(open_studio(load_basis(Path(sys.argv[1]))))
    sys.stdout.write(json.dumps({"vertices": numbers.tolist()}) + "\n")
