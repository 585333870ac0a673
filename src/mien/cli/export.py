"""`mien export`: a trained model as a file for other programs, checked on faces before it is left."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien import methods
from mien.cli.models import find_model
from mien.config import MienError, load_params
from mien.evaluation.export import Form, export
from mien.evaluation.exported import FACES, FILES, POINTS, is_exported
from mien.evaluation.inference import Predictor
from mien.evaluation.notice import FORBIDDEN
from mien.faces.align import encode
from mien.manifest.tables import sha256
from mien.shards.batch import Batch
from mien.shards.index import INDEX_FILE, read_index
from mien.shards.indexed import IndexedReader
from mien.tracking.card import card_of_export, licences

CHECKED = 200
"""Faces on which a file must agree with PyTorch before it is left."""


def export_file(root: Path, model: str, form: Form, into: Path) -> tuple[Path, dict[str, Any]]:
    """Write the model's file into a folder; the file, and its description.

    MienError: no such model, no faces to check it on, or a file that disagrees.
    """
    with tempfile.TemporaryDirectory(prefix="mien-export-") as scratch:
        folder = find_model(root, model, Path(scratch))
        if is_exported(folder):
            raise MienError(f"{model} is an exported file already; name the model that it was made from.")
        method, described = methods.load(folder)
        faces, source = faces_to_check(root, described)
        facts = {
            "weights_sha256": sha256(folder / methods.WEIGHTS),
            "checked_on": source,
            "licences": licences(described, method.needs, is_rendered(root, described)),
            "law": FORBIDDEN[0],
        }
        return into / FILES[form], export(method, described, faces, form, into, facts)


def export_folder(
    root: Path, model: str, into: Path, pictures: Sequence[bytes] | None = None
) -> tuple[Path, dict[str, Any]]:
    """Write the model as MLflow loads it (pictures in, probabilities out); the folder, and what was checked.

    pictures: those to check it on; None: crops of the model's corpus.
    MienError: as `export_file`; a one-class model; or a folder that is there already.
    """
    from mien.tracking.package import CARD, check_model, save_model

    target = into / "pyfunc"
    if target.exists():
        raise MienError(f"{target} is there already; remove it or name another folder.")
    with tempfile.TemporaryDirectory(prefix="mien-export-") as scratch:
        folder = find_model(root, model, Path(scratch))
        predictor = Predictor(folder)  # refuses a one-class model
        source = "the pictures given"
        if pictures is None:
            pictures, source = _crops(root, predictor.described)
        cards = [above / CARD for above in folder.parents if (above / CARD).is_file()]  # the registry's own
        told = (predictor.described, predictor.method.needs, is_rendered(root, predictor.described))
        text = cards[0].read_text(encoding="utf-8") if cards else card_of_export(*told)
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pyfunc-", dir=into) as made:
            save_model(Path(made) / "model", folder, list(predictor.classes), text)
            far = check_model(Path(made) / "model", pictures, predictor)
            (Path(made) / "model").rename(target)
    return target, {"check": {"faces": len(pictures), "largest_difference": far}, "checked_on": source}


def faces_to_check(
    root: Path, described: dict[str, Any], needs: Iterable[str] = (FACES, POINTS)
) -> tuple[Batch, str]:
    """Up to CHECKED faces of the corpus that the model learnt from, spread over it, and where they are.

    MienError: its shards are not here, or hold crops of another size.
    """
    shards = Path("data") / "shards" / described.get("corpus", "")
    if not (root / shards / INDEX_FILE).is_file():
        raise MienError(
            f"an export is checked on faces, and {shards} is not here; make it with `dvc repro "
            f"shard@{described.get('corpus')}`, or export where the model was trained."
        )
    index = read_index(root / shards)
    rows = np.unique(np.linspace(0, len(index) - 1, CHECKED).round().astype(np.int64))
    reader = IndexedReader(index, rows, described["classes"], needs)
    faces, side = next(reader.in_order(len(reader))), described["align"]["crop_px"]
    if faces.faces.shape[-2:] != (side, side):
        raise MienError(
            f"{shards} holds crops of {faces.faces.shape[-1]} px, and the model learnt from {side} px; "
            "align again."
        )
    return faces, str(shards)


def _crops(root: Path, described: dict[str, Any]) -> tuple[list[bytes], str]:
    faces, source = faces_to_check(root, described)
    quality = described["align"]["jpeg_quality"]
    return [encode(crop, quality) for crop in faces.faces.permute(0, 2, 3, 1).numpy()], source


def is_rendered(root: Path, described: dict[str, Any]) -> bool:
    """Whether params.yaml says so of the model's corpus; a corpus that it does not have is not."""
    corpora = load_params(root / "params.yaml").corpora
    name = described.get("corpus")
    return name in corpora and corpora[name].kind == "rendered"
