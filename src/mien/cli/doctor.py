"""`mien doctor`: what this machine, the weights and the corpora allow."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

from mien.config import MienError, Params, load_params

MEMORY_GB, DISK_GB = 6.0, 5.0
PACKAGES = (
    "torch",
    "torchvision",
    "ray",
    "mlflow",
    "dvc",
    "webdataset",
    "pyarrow",
    "face-alignment",
    "anny",
    "embreex",
)
# file names as face-alignment 1.5 looks them up in torch.hub's checkpoints folder
HUB_WEIGHTS = {
    "fan": ("2DFAN4-11f355bf06.pth.tar",),
    "sfd": ("s3fd-619a316812.pth",),
    "blazeface": ("blazeface.pth", "anchors.npy"),
}


class Finding(NamedTuple):
    """One line of the doctor's list: `missing` is harmless to the chosen preset, `bad` is not."""

    what: str
    state: Literal["ok", "missing", "bad"]
    found: str
    advice: str = ""


def examine(root: Path) -> list[Finding]:
    """Everything that a run needs, in the order in which it would fail."""
    findings = [*_machine(root), *_packages()]
    try:
        params = load_params(root / "params.yaml")
    except MienError as error:
        return [*findings, Finding("params.yaml", "bad", "not usable", str(error))]
    findings.append(
        Finding("params.yaml", "ok", f"preset {params.preset}: {len(params.experiments)} experiments")
    )
    return [*findings, *_methods(params), *_weights(params), *_corpora(root, params)]


def _machine(root: Path) -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding(
        "python",
        "ok" if version.startswith("3.11.") else "bad",
        version,
        "" if version.startswith("3.11.") else "use 3.11",
    )
    git = shutil.which("git")
    yield Finding("git", "ok" if git else "bad", git or "not on the path", "" if git else "install git")
    yield Finding("cores", "ok", f"{os.cpu_count()}")
    memory = psutil.virtual_memory().available / 2**30
    yield _enough("memory", memory, MEMORY_GB, "close other programs")
    yield _enough("disk", shutil.disk_usage(root).free / 2**30, DISK_GB, "make room")


def _enough(what: str, gib: float, needed: float, advice: str) -> Finding:
    fits = gib >= needed
    return Finding(
        what,
        "ok" if fits else "bad",
        f"{gib:.1f} GiB free",
        "" if fits else f"{needed:.0f} GiB are needed; {advice}",
    )


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "bad", "not installed", "run `make env`")


def _methods(params: Params) -> Iterator[Finding]:
    from mien import methods

    try:
        methods.check(params)
    except MienError as error:
        yield Finding("settings of the methods", "bad", "not usable", str(error))
        return
    yield Finding("settings of the methods", "ok", ", ".join(sorted(params.methods)))


def _weights(params: Params) -> Iterator[Finding]:
    for what, package, chosen in (
        ("weights of MTCNN", "facenet_pytorch", params.align.detector == "mtcnn"),
        (
            "weights of dlib's 68 points",
            "face_recognition_models",
            params.landmarks.model == "dlib" or params.align.detector == "dlib_hog",
        ),
    ):
        there = importlib.util.find_spec(package) is not None
        state: Literal["ok", "missing", "bad"] = "ok" if there else "bad" if chosen else "missing"
        yield Finding(
            what, state, f"in {package}" if there else "not installed", "" if there else "run `make env`"
        )
    home = Path(os.environ.get("TORCH_HOME", Path.home() / ".cache" / "torch")) / "hub" / "checkpoints"
    chosen_models = {params.align.detector, params.landmarks.model}
    for model, files in HUB_WEIGHTS.items():
        lacking = [file for file in files if not (home / file).is_file()]
        state = "ok" if not lacking else "bad" if model in chosen_models else "missing"
        found = "found" if not lacking else f"no {lacking[0]}"
        yield Finding(f"weights of {model}", state, found, f"put {lacking[0]} into {home}" if lacking else "")


def _corpora(root: Path, params: Params) -> Iterator[Finding]:
    used = {experiment.corpus for experiment in params.experiments.values()}
    for name, corpus in params.corpora.items():
        source = root / corpus.source
        there = source.is_dir()
        state: Literal["ok", "missing", "bad"] = "ok" if there else "bad" if name in used else "missing"
        made = (root / "data" / "corpora" / name / "manifest.parquet").is_file()
        found = (
            f"{corpus.kind}, " + ("made" if made else "not made yet")
            if there
            else f"{corpus.source} is missing"
        )
        yield Finding(
            f"corpus {name}",
            state,
            found,
            "" if there else f"put the pictures there or change corpora.{name}.source",
        )
