"""`mien submit`: train experiments on a Ray cluster as if `dvc repro` had trained them here.

What is sent is the commit, params.yaml and the files that settings name; shards go to the storage once. What
comes back lies where the stages of dvc.yaml put it, and DVC knows it as their output.
"""

import fcntl
import hashlib
import io
import json
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import networkx as nx
from dvc.exceptions import DvcException
from dvc.repo import Repo

from mien import methods
from mien.cluster.job import ORDER, Order, Stage
from mien.cluster.submit import Package, run
from mien.config import MienError, Params, load_params
from mien.config.params import PARAMS
from mien.tracking.identity import CODE, code_tags
from mien.training.published import publish
from mien.training.storage import SEAL, Storage

TRAIN = "train"
SENT = ("src", "pipeline", "dvc.yaml")
SHARDS = Path("data/shards")
FILES_MB = 200
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file in the archive: equal contents, equal bytes


def submit(root: Path, targets: list[str], address: str | None) -> int:
    """Train the experiments of these targets on the cluster and bring home what came of it; the exit code.

    Targets: experiments, `train`, `train@EXPERIMENT`. A second call with nothing changed joins the running
    job or fetches the results of a finished one. MienError says what stands against it.
    """
    params = load_params(root / PARAMS)
    storage = Storage(params.cluster.storage)
    if storage.is_local:
        raise MienError(
            f"cluster.storage is the path {params.cluster.storage}, which the cluster's nodes cannot read; "
            "give s3://bucket/prefix."
        )
    refuse_changed(root)
    wanted = _outdated(root, params, targets)
    if not wanted:
        print("nothing to train: all of it is here and up to date")
        return 0
    corpora = {name for stage, _ in wanted for name in _corpora(params, stage)}
    addresses = publish(params, corpora, root / SHARDS)
    with tempfile.TemporaryDirectory(prefix="mien-submit-") as scratch:
        package = pack(root, params, wanted, addresses, Path(scratch))
        if not _delivered(storage, package.order) and (code := run(package, address)):
            return code
        again = pack(root, load_params(root / PARAMS), wanted, addresses, Path(scratch))
        if again.order.name != package.order.name:
            raise MienError(
                "files have changed since this was submitted, so the results stay in the storage; bring back "
                f"the commit and {PARAMS} that were submitted, and the same command fetches them."
            )
        _bring_home(root, params, storage, package.order)
        return 0


def refuse_changed(root: Path) -> None:
    """MienError when the working tree holds code that the commit does not; params.yaml may differ."""
    tracked = _git(root, "status", "--porcelain", "--untracked-files=no").decode().splitlines()
    new = _git(root, "status", "--porcelain", "--untracked-files=all", "--", "src", "pipeline").decode()
    changed = {line[3:] for line in [*tracked, *new.splitlines()]} - {PARAMS.name, "dvc.lock"}
    if changed:
        raise MienError(
            f"{sorted(changed)[0]} differs from the commit, of which the cluster gets a copy; commit it first"
            + (f" (and {len(changed) - 1} more)." if len(changed) > 1 else ".")
        )


class Wanted(NamedTuple):
    """A stage to be run, and the files that it reads of what earlier stages have made; shards aside."""

    stage: Stage
    files: tuple[str, ...] = ()


def _outdated(root: Path, params: Params, targets: Iterable[str]) -> list[Wanted]:
    """The stages of these targets that `dvc repro` would run. MienError: unknown, or shards out of date."""
    wanted = {name for target in targets for name in _names(params, target)}
    try:
        with Repo(str(root)) as repo, repo.lock:
            stages = {stage.name: stage for stage in repo.index.stages if stage.name in wanted}
            outdated = [stages[name] for name in sorted(stages) if stages[name].status()]
            for stage in outdated:
                for earlier in nx.descendants(repo.index.graph, stage):
                    if earlier.status():
                        raise MienError(
                            f"{stage.name} reads what {earlier.name} makes, which is out of date; run "
                            f"`dvc repro {earlier.name}` first."
                        )
            made = {out.fs_path for stage in repo.index.stages for out in stage.outs}
            return [
                Wanted(
                    Stage(s.name, tuple(shlex.split(s.cmd)), s.outs[0].def_path),
                    tuple(d.def_path for d in s.deps if d.fs_path in made and Path(d.fs_path).is_file()),
                )
                for s in outdated
            ]
    except DvcException as error:
        raise MienError(f"DVC cannot tell what is out of date: {error}.") from error


def _names(params: Params, target: str) -> list[str]:
    if target == TRAIN:
        return [f"{TRAIN}@{name}" for name in params.experiments]
    name = target.removeprefix(f"{TRAIN}@")
    if name not in params.experiments:
        raise MienError(
            f"{target} is neither `train` nor an experiment of {PARAMS}, which has "
            f"{', '.join(params.experiments)}; the other stages run here, by `dvc repro`."
        )
    return [f"{TRAIN}@{name}"]


def _corpora(params: Params, stage: Stage) -> set[str]:
    entry = params.experiments[stage.name.removeprefix(f"{TRAIN}@")]
    return {entry.corpus, entry.second_corpus}


def pack(root: Path, params: Params, wanted: list[Wanted], addresses: dict[str, str], into: Path) -> Package:
    """The commit, params.yaml, the files that stages and settings name, and the order, in one archive.

    Equal contents have equal names. MienError: such a file is missing, or they are too large to be sent.
    """
    stages = [stage for stage, _ in wanted]
    files = _commit(root) | {PARAMS.name: (root / PARAMS).read_bytes()} | _named_files(root, params, wanted)
    shards = {(SHARDS / corpus).as_posix(): address for corpus, address in addresses.items()}
    told = Order("", params.cluster.storage, params.cluster.cache_mb, shards, tuple(stages))
    digest = hashlib.sha256(told.to_json().encode())
    for name, data in sorted(files.items()):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    order = replace(told, name=f"mien-{digest.hexdigest()[:12]}")
    archive = into / f"{order.name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in sorted((files | {ORDER: order.to_json().encode()}).items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            zipped.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return Package(order, archive, {CODE: json.dumps(code_tags(root))})


def _commit(root: Path) -> dict[str, bytes]:
    """The files of HEAD that a stage needs, by their paths."""
    with tarfile.open(fileobj=io.BytesIO(_git(root, "archive", "HEAD", *SENT))) as tar:
        members = [(member.name, tar.extractfile(member)) for member in tar if member.isfile()]
        return {name: file.read() for name, file in members if file is not None}


def _named_files(root: Path, params: Params, wanted: Iterable[Wanted]) -> dict[str, bytes]:
    """What stages read besides shards, and weights and lists that their settings name by a path."""
    found: dict[str, Path] = {}
    for stage, files in wanted:
        experiment = stage.name.removeprefix(f"{TRAIN}@")
        entry = params.experiments[experiment]
        settings = methods.settings(params, experiment)
        named = [*files, *methods.method_class(entry.method).files(settings).values(), entry.label_noise.file]
        found |= {str(path): root / path for path in named if path is not None}
    for name in found:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise MienError(f"{name} lies outside the checkout, so that it cannot be sent; put it inside.")
        if not (root / name).is_file():
            raise MienError(f"{name}, which {PARAMS} names, is not there; put it there or change the key.")
    if (size := sum(path.stat().st_size for path in found.values())) > FILES_MB << 20:
        raise MienError(
            f"the files that settings name have {size >> 20} MB, more than {FILES_MB} can be sent."
        )
    return {name: path.read_bytes() for name, path in found.items()}


def _delivered(storage: Storage, order: Order) -> bool:
    return all(storage.read_json(f"{order.delivery(s)}/{SEAL}") is not None for s in order.stages)


def _bring_home(root: Path, params: Params, storage: Storage, order: Order) -> None:
    """Put each output where its stage would have put it and have DVC record it."""
    lock_path = root / ".dvc" / "tmp" / "mien-submit.lock"
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several calls may have followed one job
        for stage in order.stages:
            if _outdated(root, params, [stage.name]):
                _take(storage, order.delivery(stage), root / stage.out)
                _commit_stage(root, stage)
                storage.delete(order.delivery(stage))
            print(f"{stage.out} is here, as if {stage.name} had run here")


def _take(storage: Storage, delivery: str, out: Path) -> None:
    """Put a delivery in the place of an output, in one piece."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        fetched = Path(scratch) / "fetched"
        if not storage.get(delivery, fetched):
            storage.delete(delivery)
            raise MienError(
                f"{storage.uri}/{delivery} was damaged and is removed; run the same command again."
            )
        (fetched / SEAL).unlink()
        if out.exists():
            out.rename(Path(scratch) / "old")
        fetched.rename(out)


def _commit_stage(root: Path, stage: Stage) -> None:
    """Have DVC take the output and the present dependencies for those of a run."""
    try:
        with Repo(str(root)) as repo:
            repo.commit(stage.name, force=True)
    except DvcException as error:
        raise MienError(f"{stage.out} is here, but DVC cannot record it: {error}.") from error


def _git(root: Path, *words: str) -> bytes:
    if shutil.which("git") is None:
        raise MienError("git is not on the path; install it.")
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, check=False)
    if done.returncode:
        raise MienError(f"git {words[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
