"""`mien backup` and `mien restore`: MLflow's database, its artifacts and the DVC remote, whole or not at all.

The database comes first: an artifact is uploaded before the database counts on it and is never changed, so
what is copied later holds all that the database names. Restoring goes the other way round.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from dvc.exceptions import DvcException
from dvc.fs import LocalFileSystem
from dvc.repo import Repo
from pyarrow import ArrowException, fs

from mien.cli.databases import dump, load, refuse_filled
from mien.config import MienError
from mien.tracking.server import ARTIFACTS as LOCAL_ARTIFACTS
from mien.tracking.server import tracking_uri
from mien.training.storage import SEAL, is_intact, seal

FACTS, ARTIFACTS, OBJECTS = "backup.json", "artifacts", "dvc"
DATABASE_VARIABLE, ARTIFACTS_VARIABLE = "MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION"


class Held(NamedTuple):
    """What a back-up holds."""

    database: str  # the file of the dump
    artifacts: int
    objects: int | None  # of the DVC remote; None: there is no remote


class _Places(NamedTuple):
    database: str
    artifacts: str


def backup(root: Path, into: Path) -> Held:
    """Write a checkout's runs, models and remote into a new folder, which appears when all is in it.

    MienError: the folder is there, a part cannot be reached, or an object of the remote is damaged.
    """
    places = _places(root)
    if into.exists():
        raise MienError(f"{into} is there already; name a folder that is not.")
    scratch = into.absolute().with_name(f".{into.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700, parents=True)  # passwords' digests and runs are nobody else's
    file = dump(places.database, scratch)
    artifacts = _copy_down(places.artifacts, scratch / ARTIFACTS)
    objects = _copy_objects_down(root, scratch / OBJECTS)
    held = Held(file.name, artifacts, objects)
    facts = {**held._asdict(), "made_at": datetime.now(UTC).isoformat(timespec="seconds")}
    facts["artifacts_at"] = places.artifacts
    (scratch / FACTS).write_text(json.dumps(facts, indent=2), encoding="utf-8")
    seal(scratch)
    scratch.rename(into)
    return held


def restore(root: Path, source: Path) -> Held:
    """Fill an empty database, the place of its artifacts and the DVC remote from a back-up.

    A restore that was cut off is made good by another: files that are there are kept, the database is filled
    last and at once. MienError: the back-up is not whole, the database is not empty, a file differs.
    """
    if not is_intact(source):
        raise MienError(f"{source} is no whole back-up: {SEAL} is missing or a file differs; take another.")
    facts = json.loads((source / FACTS).read_text(encoding="utf-8"))
    places = _places(root)
    refuse_filled(places.database)
    if facts["objects"] is not None:
        _copy_objects_up(root, source / OBJECTS)
    _copy_up(source / ARTIFACTS, places.artifacts)
    moved = (facts["artifacts_at"], places.artifacts)
    load(places.database, source / facts["database"], moved if "://" not in "".join(moved) else None)
    return Held(facts["database"], facts["artifacts"], facts["objects"])


def _places(root: Path) -> _Places:
    """Where database and artifacts are: beside the code, or where the server has them."""
    uri = tracking_uri(root)
    if not uri.startswith(("http://", "https://")):
        return _Places(uri, str((root / LOCAL_ARTIFACTS).absolute()))
    named = {name: os.environ.get(name) for name in (DATABASE_VARIABLE, ARTIFACTS_VARIABLE)}
    for name, value in named.items():
        if not value:
            raise MienError(
                f"MLFLOW_TRACKING_URI is a server, and {name} is not set; set it as the server has it."
            )
    return _Places(str(named[DATABASE_VARIABLE]), str(named[ARTIFACTS_VARIABLE]))


def _opened(where: str) -> tuple[fs.FileSystem, str]:
    try:
        opened: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(where)
    except (ArrowException, OSError, ValueError) as error:
        raise MienError(f"{where} cannot be opened ({error}); mend {ARTIFACTS_VARIABLE}.") from error
    return opened


def _files(system: fs.FileSystem, folder: str) -> Iterator[tuple[str, fs.FileInfo]]:
    """The files below a folder, with their paths from there."""
    for info in system.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True)):
        if info.type == fs.FileType.File:
            yield os.path.relpath(info.path, folder), info


def _copy_down(where: str, into: Path) -> int:
    system, folder = _opened(where)
    into.mkdir()
    count = 0
    for name, info in _files(system, folder):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        fs.copy_files(info.path, str(into / name), system, fs.LocalFileSystem())
        count += 1
    return count


def _copy_up(source: Path, where: str) -> None:
    """Put what is not there yet; a file that differs in size is somebody else's."""
    system, folder = _opened(where)
    there = {name: info.size for name, info in _files(system, folder)}
    for name, info in _files(fs.LocalFileSystem(), str(source)):
        if name in there and there[name] != info.size:
            raise MienError(f"{where}/{name} differs from the back-up; restore to a place that is empty.")
        if name not in there:
            _put(info.path, system, f"{folder}/{name}")


def _put(source: str, system: fs.FileSystem, target: str) -> None:
    """An object store takes a file in one piece; a folder gets it by renaming."""
    if not isinstance(system, fs.LocalFileSystem):
        fs.copy_files(source, target, fs.LocalFileSystem(), system)
        return
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    fs.copy_files(source, f"{target}.part", fs.LocalFileSystem(), system)
    Path(f"{target}.part").replace(target)


def _copy_objects_down(root: Path, into: Path) -> int | None:
    """Copy the default DVC remote's objects, each checked against its name; None without a remote."""
    try:
        with Repo(str(root)) as repo:
            if not repo.config["core"].get("remote"):
                return None
            odb = repo.cloud.get_remote_odb()
            oids = sorted(odb.all())
            for oid in oids:
                copy = into / oid[:2] / oid[2:]
                copy.parent.mkdir(parents=True, exist_ok=True)
                odb.fs.get_file(odb.oid_to_path(oid), str(copy))
                _check_object(copy, oid)
    except (DvcException, OSError) as error:
        raise MienError(f"the DVC remote cannot be copied ({error}); see `dvc remote list`.") from error
    return len(oids)


def _check_object(copy: Path, oid: str) -> None:
    with copy.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if digest != oid.removesuffix(".dir"):
        raise MienError(
            f"object {oid} of the DVC remote is damaged; `dvc push` it anew from where it is whole."
        )


def _copy_objects_up(root: Path, source: Path) -> None:
    try:
        with Repo(str(root)) as repo:
            if not repo.config["core"].get("remote"):
                raise MienError(
                    "the back-up holds a DVC remote, and none is set here: dvc remote add -d NAME URL."
                )
            odb: Any = repo.cloud.get_remote_odb()
            copies = sorted(path for path in source.glob("*/*") if path.is_file())
            names = [f"{path.parent.name}{path.name}" for path in copies]
            # DVC writes each beside its place and renames it
            odb.add([str(path) for path in copies], LocalFileSystem(), names, hardlink=False)
    except (DvcException, OSError) as error:
        raise MienError(f"the DVC remote cannot be filled ({error}); see `dvc remote list`.") from error
