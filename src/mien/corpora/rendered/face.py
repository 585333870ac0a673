"""One person's head ready to be shown: shape, skin, eyes and hair of a display, as pieces in the head's own
axes."""

from dataclasses import dataclass

import cv2
import numpy as np

from mien.corpora.rendered import eyes
from mien.corpora.rendered.arrays import Floats, Ints, floats
from mien.corpora.rendered.atlas import Atlas, make_atlas, vertex_normals
from mien.corpora.rendered.basis import Basis
from mien.corpora.rendered.canvas import (
    AXIS_MM,
    Canvas,
    azimuth_of,
    between_eyes,
    ears_of,
    hair_thickness,
    make_canvas,
)
from mien.corpora.rendered.facs import actions_of, is_sided
from mien.corpora.rendered.paint import Skin, paint_skin
from mien.corpora.rendered.people import Person
from mien.corpora.rendered.relief import Relief, line_depths, make_relief, tilt
from mien.corpora.rendered.shape import moved, neutral_shape
from mien.corpora.rendered.stage import Material, Piece

SKIN, EYE, TEETH, TONGUE, LASHES, LOCKS, THING = range(7)
"""Numbers of the materials, as `Face.materials` lists them; THING is for what a picture puts before the face.
"""


_ENAMEL, _TONGUE, _LASH = (0.85, 0.79, 0.68), (0.42, 0.11, 0.10), (0.012, 0.010, 0.009)  # linear RGB


@dataclass(frozen=True)
class Cut:
    """Triangles of a mesh on their own vertices alone."""

    vertices: Ints  # (n,) numbers in the mesh
    triangles: Ints  # (t, 3) numbers among those


@dataclass(frozen=True)
class Studio:
    """What all people share; made once in each process."""

    basis: Basis
    atlas: Atlas
    canvas: Canvas
    relief: Relief
    mean_mm: Floats  # (V, 3) the mean head from the point between its eyes
    skin_vertices: Ints
    teeth: Cut
    tongue: Cut
    lashes: Cut


def open_studio(basis: Basis) -> Studio:
    """Lay out the atlas (about two seconds)."""
    atlas = make_atlas(basis)
    canvas = make_canvas(basis, atlas)
    mean_mm = (atlas.mean - between_eyes(basis, atlas.mean)) * np.float32(1000)
    head = np.unique(basis.skin[atlas.island != 1]).astype(np.int32)
    mouth = cut_out(basis.teeth), cut_out(basis.tongue)
    return Studio(basis, atlas, canvas, make_relief(canvas), mean_mm, head, *mouth, cut_out(basis.lashes))


class Face:
    """A person before the camera."""

    def __init__(self, studio: Studio, person: Person) -> None:
        self.studio, self.person = studio, person
        basis = studio.basis
        self.rest = neutral_shape(basis, person.macro, person.local)
        self.centre = between_eyes(basis, self.rest)
        self.eye_centres, self.eye_radii = eyes.sockets(basis, self.rest)
        self.skin: Skin = paint_skin(studio.canvas, person)
        self.tilts = np.empty_like(self.skin.albedo)
        tilt(studio.relief, self.skin.height, self.tilts)
        self.albedo = self.skin.albedo.copy()
        self.iris = eyes.paint_iris(person.iris, np.random.default_rng([person.seed, person.number, 3]))
        lift = np.zeros(len(self.rest), np.float32)
        lift[studio.skin_vertices] = hair_thickness(studio.mean_mm[studio.skin_vertices], person.hair) / 1000
        self.lift = lift[:, None]
        self.curtain = _curtain(studio, self.rest, self.centre, person)

    def materials(self, units: dict[str, float], lean: dict[str, float]) -> list[Material]:
        """Materials with the lines that these action units dig."""
        relief = self.studio.relief
        sides = [
            {u: w * (min(1.0, 1 + s * lean.get(u, 0.0)) if is_sided(u) else 1.0) for u, w in units.items()}
            for s in (1, -1)
        ]
        depths = line_depths(sides[0], sides[1], self.person.wrinkles)
        grooves = np.tensordot(depths, relief.lines, 1)
        height = self.skin.height[relief.window] + grooves
        # only the window changes from picture to picture, so the big arrays are written over in place
        tilt(relief, height, self.tilts[relief.window], relief.window)
        # a groove is darker than what lies beside it, whatever the light
        dark = np.clip(1 + 0.5 * grooves, 0.55, 1.08)
        cv2.multiply(self.skin.albedo[relief.window], cv2.merge([dark] * 3), self.albedo[relief.window])
        return [
            Material(0.05, 12, 0.35, texture=self.albedo, relief=self.tilts),
            Material(0.9, 220, 0.1, texture=self.iris),
            Material(0.25, 40, 0.2, least_open=0.75),
            Material(0.2, 30, 0.2),
            Material(0.02, 10, 0.0),
            Material(0.10, 18, 0.1),
            Material(0.15, 30, 0.05),
        ]

    def vertices(self, units: dict[str, float], lean: dict[str, float], gaze: tuple[float, float]) -> Floats:
        """Vertices (V, 3) of the display, without hair, in the head's axes, from between the eyes."""
        actions = actions_of(units, lean)
        for name, value in eyes.lids_for(gaze).items():
            actions[name] = actions.get(name, 0.0) + value
        return floats(self.rest + moved(self.studio.basis, actions) - self.centre)

    def pieces(self, vertices: Floats, gaze: tuple[float, float]) -> list[Piece]:
        """Pieces of the head in its own axes."""
        studio, skin = self.studio, self.studio.basis.skin
        lifted = vertices + self.lift * vertex_normals(vertices, skin)
        out = [Piece(lifted, skin, vertex_normals(lifted, skin), SKIN, corners=studio.atlas.corners)]
        ball, triangles, normals, corners = eyes.eyeballs(
            self.eye_centres - self.centre, self.eye_radii, gaze
        )
        out.append(Piece(ball, triangles, normals, EYE, corners=corners))
        for part, material, colour in ((studio.teeth, TEETH, _ENAMEL), (studio.tongue, TONGUE, _TONGUE)):
            out.append(plain(vertices[part.vertices], part.triangles, material, colour))
        out.append(plain(self._trimmed(vertices), studio.lashes.triangles, LASHES, _LASH))
        if self.curtain is not None:
            out.append(self.curtain)
        return out

    def _trimmed(self, vertices: Floats) -> Floats:
        """Vertices of the lashes, drawn back towards the lids, which lie on the eyeballs."""
        points = vertices[self.studio.lashes.vertices]
        side = (points[:, 0] < 0).astype(int)
        centre = (self.eye_centres - self.centre)[side]
        out = points - centre
        away = np.linalg.norm(out, axis=1, keepdims=True)
        root = 1.03 * self.eye_radii[side, None]
        short = root + self.person.lashes * (away - root)
        return floats(centre + out / away * np.minimum(away, short))


def cut_out(triangles: Ints) -> Cut:
    """Number the vertices of some triangles of a mesh anew."""
    used, place = np.unique(triangles, return_inverse=True)
    return Cut(used, place.reshape(-1, 3).astype(np.int32))


def plain(
    vertices: Floats, triangles: Ints, material: int, colour: tuple[float, float, float] | Floats
) -> Piece:
    """A piece of one colour (linear RGB)."""
    colours = np.tile(floats(colour), (len(vertices), 1))
    return Piece(vertices, triangles, vertex_normals(vertices, triangles), material, colours=colours)


def _curtain(studio: Studio, rest: Floats, centre: Floats, person: Person) -> Piece | None:
    """Long hair: a sheet round the sides and the back of the head, down from the crown; None for other
    styles."""
    hair = person.hair
    if hair.style != "long":
        return None
    rng = np.random.default_rng([person.seed, person.number, 4])
    own = (rest - centre)[studio.skin_vertices] * 1000
    mean = studio.mean_mm[studio.skin_vertices]
    azimuth = azimuth_of(mean)
    opening = rng.uniform(58, 74)
    angles = np.linspace(opening, 360 - opening, 48)
    levels = np.linspace(92, -hair.length_mm, 30)
    scalp = ~ears_of(mean) & (mean[:, 2] > -40)
    own, azimuth = own[scalp], azimuth[scalp]
    radii = np.hypot(own[:, 0], own[:, 1] - AXIS_MM)
    bands = []
    for angle in angles:
        near = np.abs((azimuth - angle + 180) % 360 - 180) < 10
        bands.append([max([*radii[near & (np.abs(own[:, 2] - z) < 9)], 20.0]) for z in levels])
    profile = np.maximum.accumulate(np.array(bands), axis=1)
    wave = np.cumsum(rng.normal(0, 0.5, angles.shape))
    fall = np.clip((60 - levels) / 60, 0, 1)
    radius = profile + 0.6 * hair.volume_mm * (1 - fall) + (hair.sides_mm + 8) * fall
    radius += (wave[:, None] + 1.5 * np.sin(angles[:, None] * 0.9)) * fall
    radius -= np.clip((-levels - 70) / 120, 0, 1) * 12
    turn = np.radians(angles)[:, None]
    sheet = np.stack(
        [radius * np.sin(turn), AXIS_MM - radius * np.cos(turn), np.broadcast_to(levels, radius.shape)],
        axis=-1,
    )
    grid = np.arange(radius.size).reshape(radius.shape)
    p, q, r, s = grid[:-1, :-1].ravel(), grid[1:, :-1].ravel(), grid[1:, 1:].ravel(), grid[:-1, 1:].ravel()
    triangles = np.concatenate([np.stack([p, q, r], 1), np.stack([p, r, s], 1)]).astype(np.int32)
    flat = (sheet.reshape(-1, 3) / 1000).astype(np.float32)
    normals = vertex_normals(flat, triangles)
    outward = np.sign((normals[:, :2] * (flat[:, :2] - floats([0, 0.075]))).sum(axis=1, keepdims=True))
    streaks = np.exp(0.3 * rng.normal(0, 1, (len(angles), 1)) + 0.08 * rng.normal(0, 1, radius.shape))
    colours = (hair.colour * streaks.reshape(-1, 1)).astype(np.float32)
    return Piece(flat, triangles, normals * outward, LOCKS, colours=colours)
