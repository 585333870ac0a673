"""`mien corpora add`: an owner's archive becomes the folder `corpora.NAME.source`, whole or not at all.

It is unpacked into a scratch folder beside the target, which takes the target's place at the end. A call that
was broken off goes on where it stopped. Nothing is ever fetched.
"""

import fcntl
import hashlib
import json
import logging
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from mien.config.corpora import CorpusConfig, FolderCorpus, RenderedCorpus
from mien.config.errors import MienError
from mien.corpora.archives import copy_folder, unpack
from mien.corpora.catalogue import CATALOGUE
from mien.corpora.members import ENDINGS, Limits, Progress, merge, plain_files, room, volumes
from mien.manifest.tables import whole

NAMED = 10  # files that are listed by name
DEPTHS = ("", "*", "*/*", "*/*/*")  # where a layout may begin: archives wrap theirs in folders
BYTES_A_FILE = 4 << 20  # of a corpus that is larger than the limits for any archive
Layouts = tuple[tuple[str, ...], ...]
Digests = list[dict[str, Any]]

log = logging.getLogger(__name__)


def add_archive(name: str, config: CorpusConfig, root: Path, path: Path, progress: Progress) -> str:
    """Unpack an archive, or copy a folder and unpack the archives in it, to where `source` says.

    root: of the checkout, which a relative `source` starts from. progress(done, total) counts bytes of an
    archive. Returns one sentence for the user. The digests are in `SOURCE.digests.json`.
    MienError: not the corpus, not what was added first, hostile, damaged, or the disk is full.
    """
    target = (root / config.source).resolve()
    with room(target.parent):
        _check_places(name, config, root, path, target)
        record = target.with_name(f"{target.name}.digests.json")
        parts = _parts(path)
        files = {volume for part in parts if part.is_file() for volume in volumes(part)}
        digests = [_digest(part, files) for part in (*sorted(files), *(p for p in parts if p.is_dir()))]
        known = _refuse_changed(name, digests, record, target)
        if target.exists() and any(target.iterdir()):
            if known:
                return f"corpora.{name} is there already, from the same archives: {target}"
            raise MienError(f"{target} is not empty; move it away, or choose another corpora.{name}.source.")
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f".{target.name}.adding")
        with _alone(scratch):
            try:
                tree = _assemble(parts, config, digests, scratch, progress)
                _refuse_other(name, path, tree, config)
                with whole(record) as file:
                    file.write_text(json.dumps(digests, indent=2) + "\n", encoding="utf-8")
            except (MienError, OSError):
                shutil.rmtree(scratch, ignore_errors=True)
                raise
            tree.replace(target)
            shutil.rmtree(scratch, ignore_errors=True)
    return f"corpora.{name} is in {target}, the digests of its archives in {record}"


def _check_places(name: str, config: CorpusConfig, root: Path, path: Path, target: Path) -> None:
    entry = CATALOGUE.get(config.kind)
    if isinstance(config, RenderedCorpus):
        raise MienError(f"corpora.{name} is rendered, it takes no archive; choose another corpus.")
    if not path.is_file() and not path.is_dir():
        where = f"; mien fetches nothing, ask {entry.ask}" if entry else "; give an archive or a folder"
        raise MienError(f"{path} is neither a file nor a folder{where}.")
    here = path.resolve()
    if here == target or here in target.parents or target in here.parents:
        raise MienError(f"{path} and corpora.{name}.source lie within each other; choose another source.")
    if config.gated:
        asked = subprocess.run(
            ["git", "check-ignore", "-q", f"{target}/"], cwd=root, capture_output=True, check=False
        )
        if asked.returncode == 1:  # 0: git leaves it alone, 128: it is outside the repository
            raise MienError(
                f"corpora.{name}.source is {config.source}, which git would take into the repository "
                "although the corpus is gated; choose a folder below data/, or name it in .gitignore."
            )


def _parts(path: Path) -> list[Path]:
    """What is unpacked one by one: the archive, or those directly in a folder and then the folder's rest."""
    if path.is_file():
        return [path]
    archives = [p for p in sorted(path.iterdir()) if p.is_file() and p.name.lower().endswith(ENDINGS)]
    return [*archives, path]


def _digest(part: Path, without: set[Path]) -> dict[str, Any]:
    """Name, size and SHA-256 of a file, or of a folder's names and files together."""
    if part.is_file():
        log.info("reading %s", part)
        return {"name": part.name, "bytes": part.stat().st_size, "sha256": _sha256(part)}
    total, size = hashlib.sha256(), 0
    for path in plain_files(part):
        if path not in without:
            total.update(f"{path.relative_to(part).as_posix()}\0{_sha256(path)}\n".encode("utf-8", "replace"))
            size += path.stat().st_size
    return {"name": ".", "bytes": size, "sha256": total.hexdigest()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_changed(name: str, digests: Digests, record: Path, target: Path) -> bool:
    """Whether these archives are recorded already. MienError: others are."""
    if not record.is_file():
        return False
    try:
        first = {part["name"]: part["sha256"] for part in json.loads(record.read_text(encoding="utf-8"))}
    except (ValueError, TypeError, KeyError) as error:
        raise MienError(
            f"{record} is not a record of digests; move it away and add the archive again."
        ) from error
    now = {part["name"]: part["sha256"] for part in digests}
    if sorted(now.values()) == sorted(first.values()):
        return True  # renamed archives are the same archives
    changed = (
        next((part for part in now if first.get(part) != now[part]), None) or sorted(set(first) - set(now))[0]
    )
    then, today = (str(known.get(changed))[:12] for known in (first, now))
    raise MienError(
        f"{changed} of corpora.{name} is not what was added first (sha256 {then} then, {today} now); "
        f"if the new one is meant, move {target} and {record.name} away first."
    )


@contextmanager
def _alone(scratch: Path) -> Iterator[None]:
    """Hold the scratch folder. MienError: another call holds it."""
    scratch.mkdir(exist_ok=True)
    with (scratch / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MienError(f"Another `mien corpora add` is at work in {scratch}; wait for it.") from None
        yield


def _assemble(
    parts: list[Path], config: CorpusConfig, digests: Digests, scratch: Path, progress: Progress
) -> Path:
    """Unpack all parts into one tree. What an earlier call made of the same archives is used."""
    made_of, tree = scratch / "digests.json", scratch / "tree"
    now = json.dumps(digests)
    if not made_of.is_file() or made_of.read_text(encoding="utf-8") != now:
        for old in (scratch / "parts", tree):
            shutil.rmtree(old, ignore_errors=True)
        with whole(made_of) as file:
            file.write_text(now, encoding="utf-8")
    entry = CATALOGUE.get(config.kind)
    limits = Limits()
    if entry is not None and 2 * entry.files > limits.files:
        limits = Limits(2 * entry.files, max(limits.unpacked_bytes, entry.files * BYTES_A_FILE))
    for number, part in enumerate(parts):
        place = scratch / "parts" / str(number)
        place.mkdir(parents=True, exist_ok=True)
        if part.is_file():
            unpack(part, place, scratch, limits, progress)
        else:
            taken = {volume for other in parts if other != part for volume in volumes(other)}
            copy_folder(part, place, scratch, taken, limits, progress)
        merge(_beginning(place, _layouts(config)), tree)
    return tree


def _layouts(config: CorpusConfig) -> Layouts:
    if isinstance(config, FolderCorpus):
        return tuple((folder,) for folder in config.classes)
    entry = CATALOGUE.get(config.kind)
    return entry.layouts if entry else ()


def _beginning(place: Path, layouts: Layouts) -> Path:
    """The folder in which a layout begins; `place` itself when nothing of a layout is found."""
    names = [name for layout in layouts for name in layout]
    for depth in DEPTHS:
        for folder in sorted(place.glob(depth)) if depth else [place]:
            if folder.is_dir() and any(_holds(folder, name) for name in names):
                beside = [p.relative_to(place) for p in plain_files(place) if folder not in p.parents]
                if beside:
                    log.warning("left out: %s", ", ".join(map(str, beside[:NAMED])))
                return folder
    return place


def _holds(folder: Path, name: str) -> bool:
    return next(folder.glob(name), None) is not None


def _refuse_other(name: str, path: Path, tree: Path, config: CorpusConfig) -> None:
    """MienError: the tree has none of the corpus's layouts."""
    layouts = _layouts(config)
    if not layouts or any(all(_holds(tree, part) for part in layout) for layout in layouts):
        return
    lacking = next(part for layout in layouts for part in layout if not _holds(tree, part))
    entry = CATALOGUE.get(config.kind)
    wanted = entry.put if entry else f"one of the folders {', '.join(layout[0] for layout in layouts)}"
    found = ", ".join(p.relative_to(tree).as_posix() for p in islice(plain_files(tree), NAMED)) or "nothing"
    raise MienError(f"{path} is not corpora.{name}: {lacking} is missing of {wanted}; it holds {found}.")
