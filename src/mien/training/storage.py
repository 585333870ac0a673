"""Where checkpoints and finished cells are kept: a folder of one machine, or a prefix of an object store."""

import json
import posixpath
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pyarrow import fs

from mien.config import MienError
from mien.manifest.tables import sha256
from mien.shards.object_store import opened, patiently

CHUNK = 8 * 2**20  # bytes that are copied at a time
SEAL = "seal.json"
"""The file that is written last; a folder without it, or that differs from it, does not count."""


class Storage:
    """A place by a path or `s3://bucket/prefix`. Names below it use `/`.

    An object store that is busy or away is asked again for a while; every method may raise MienError when it
    stays away, refuses or is full.
    """

    def __init__(self, where: str) -> None:
        self.is_local = "://" not in where
        self.uri = str(Path(where).absolute()) if self.is_local else where.rstrip("/")
        try:
            self.files, self.root = opened(self.uri)
        except MienError as error:
            raise MienError(f"cluster.storage is {where!r}: {error}") from error

    def __truediv__(self, name: str) -> "Storage":
        """The place `name` below this one."""
        return Storage(posixpath.join(self.uri, name))

    def names(self) -> list[str]:
        """What lies directly here, in name order; nothing if the place does not exist yet."""
        here = fs.FileSelector(self.root, allow_not_found=True)
        return sorted(info.base_name for info in self._asked(self.files.get_file_info, here))

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The object in a JSON file; None when it is missing or torn."""
        try:
            read = json.loads(self._asked(self._read, name))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return read if isinstance(read, dict) else None

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a JSON file whole: an object store puts it in one piece, a folder gets it by renaming."""
        self._asked(self._write, name, json.dumps(value, indent=2, sort_keys=True).encode())

    def put(self, folder: Path, name: str) -> None:
        """Copy the files of a folder to `name`, its seal last: until then `name` does not count."""
        self.delete(name)
        try:
            self._send(folder, name, digests(folder), frozenset())
        except MienError:
            if self.is_local:
                self.delete(name)  # else what did fit would keep a full disk full
            raise

    def fill(self, folder: Path, name: str) -> None:
        """As `put`, to a name that tells the content: what lies there with its size is not sent again."""
        if self.read_json(f"{name}/{SEAL}") is not None:
            return
        sums = digests(folder)
        there = self._asked(self.files.get_file_info, [self._at(f"{name}/{file}") for file in sums])
        sizes = dict(zip(sums, (info.size for info in there), strict=True))
        whole = {file for file, size in sizes.items() if size == (folder / file).stat().st_size}
        self._send(folder, name, sums, whole if not self.is_local else frozenset())

    def get(self, name: str, into: Path) -> bool:
        """Copy the folder `name` down; False, and nothing copied, when it is missing, torn or altered."""
        if self.read_json(f"{name}/{SEAL}") is None:
            return False
        into.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into.parent, prefix=".get-") as scratch:
            copy = Path(scratch) / "copy"
            copy.mkdir()
            here = fs.LocalFileSystem()
            self._asked(fs.copy_files, self._at(name), str(copy), self.files, here)
            if not is_intact(copy):
                return False
            copy.rename(into)
        return True

    def fetch(self, name: str, into: Path) -> None:
        """Copy one file down. MienError: it is missing, or its folder's seal does not know it like that."""
        folder, _, file = name.rpartition("/")
        seal = self.read_json(f"{folder}/{SEAL}") or {"sha256": {}}
        try:
            data = self._asked(self._read, name)
        except FileNotFoundError:
            raise MienError(f"{self.uri}/{name} is missing; run again, which puts it there.") from None
        into.write_bytes(data)
        if seal["sha256"].get(file) != sha256(into):
            into.unlink()
            raise MienError(f"{self.uri}/{name} is not what its seal says; delete {self.uri}/{folder}.")

    def delete(self, name: str) -> None:
        """Remove a file or folder, its seal first, so that a half-removed folder does not count."""
        self._asked(self._delete, name)

    def _send(self, folder: Path, name: str, sums: dict[str, str], there: Iterable[str]) -> None:
        for file in sorted(set(sums) - set(there)):
            self._asked(self._copy, folder / file, f"{name}/{file}")
        self._asked(self.files.create_dir, self._at(name))
        (self / name).write_json(SEAL, {"sha256": sums})

    def _copy(self, file: Path, name: str) -> None:
        self.files.create_dir(posixpath.dirname(self._at(name)), recursive=True)
        # `copy_files` would drop an error of the last bytes' upload; closing a stream raises it
        with file.open("rb") as source, self.files.open_output_stream(self._at(name)) as sink:
            shutil.copyfileobj(source, sink, CHUNK)

    def _read(self, name: str) -> bytes:
        with self.files.open_input_stream(self._at(name)) as file:
            data: bytes = file.read()
        return data

    def _write(self, name: str, data: bytes) -> None:
        self.files.create_dir(self.root, recursive=True)
        scratch = self._at(f".{name}.part") if self.is_local else self._at(name)
        with self.files.open_output_stream(scratch) as file:
            file.write(data)
        if self.is_local:
            self.files.move(scratch, self._at(name))

    def _delete(self, name: str) -> None:
        kind = self.files.get_file_info(self._at(name)).type
        if kind == fs.FileType.File:
            self.files.delete_file(self._at(name))
        elif kind == fs.FileType.Directory:
            if self.files.get_file_info(self._at(f"{name}/{SEAL}")).type == fs.FileType.File:
                self.files.delete_file(self._at(f"{name}/{SEAL}"))
            self.files.delete_dir(self._at(name))

    def _asked(self, call: Any, *words: Any) -> Any:
        return patiently(self.uri, lambda: call(*words))

    def _at(self, name: str) -> str:
        return posixpath.join(self.root, name)


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of each file of a local folder but its seal, by its name, in name order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SEAL)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def seal(folder: Path) -> dict[str, str]:
    """Write SEAL into a local folder: the sha256 of each other file, by its name; returns them."""
    sums = digests(folder)
    (folder / SEAL).write_text(json.dumps({"sha256": sums}, indent=2, sort_keys=True), encoding="utf-8")
    return sums


def is_intact(folder: Path) -> bool:
    """Whether a local folder holds a seal and every file that it names, unaltered."""
    try:
        sums = json.loads((folder / SEAL).read_text(encoding="utf-8"))["sha256"]
        return all(sha256(folder / name) == digest for name, digest in sums.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False
