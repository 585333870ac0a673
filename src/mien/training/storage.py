"""Where checkpoints and finished cells are kept: a folder of one machine, or a prefix of an object store."""

import json
import posixpath
import tempfile
from pathlib import Path
from typing import Any

from pyarrow import ArrowException, fs

from mien.config import MienError
from mien.manifest.tables import sha256

SEAL = "seal.json"
"""The file that is written last; a folder without it, or that differs from it, does not count."""


class Storage:
    """A place by a path or a URI that pyarrow.fs knows (`s3://bucket/prefix`). Names below it use `/`."""

    def __init__(self, where: str) -> None:
        self.is_local = "://" not in where
        self.uri = str(Path(where).absolute()) if self.is_local else where.rstrip("/")
        try:
            self._files, self._root = fs.FileSystem.from_uri(self.uri)
        except (ArrowException, OSError, ValueError) as error:
            raise MienError(
                f"cluster.storage is {where!r}, which cannot be opened ({error}); give a path or s3://..."
            ) from error

    def __truediv__(self, name: str) -> "Storage":
        """The place `name` below this one."""
        return Storage(posixpath.join(self.uri, name))

    def names(self) -> list[str]:
        """What lies directly here, in name order; nothing if the place does not exist yet."""
        found = self._files.get_file_info(fs.FileSelector(self._root, allow_not_found=True))
        return sorted(info.base_name for info in found)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The object in a JSON file; None when it is missing or torn."""
        try:
            with self._files.open_input_stream(self._at(name)) as file:
                read = json.loads(file.read())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return read if isinstance(read, dict) else None

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a JSON file whole: an object store puts it in one piece, a folder gets it by renaming."""
        self._files.create_dir(self._root, recursive=True)
        scratch = self._at(f".{name}.part") if self.is_local else self._at(name)
        with self._files.open_output_stream(scratch) as file:
            file.write(json.dumps(value, indent=2, sort_keys=True).encode())
        if self.is_local:
            self._files.move(scratch, self._at(name))

    def put(self, folder: Path, name: str) -> None:
        """Copy the files of a folder to `name`, its seal last: until then `name` does not count."""
        self.delete(name)
        sums = seal(folder)
        self._files.create_dir(self._at(name), recursive=True)
        for file in [*sums, SEAL]:
            self._files.create_dir(posixpath.dirname(self._at(f"{name}/{file}")), recursive=True)
            fs.copy_files(str(folder / file), self._at(f"{name}/{file}"), fs.LocalFileSystem(), self._files)

    def get(self, name: str, into: Path) -> bool:
        """Copy the folder `name` down; False, and nothing copied, when it is missing, torn or altered."""
        if self.read_json(f"{name}/{SEAL}") is None:
            return False
        into.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into.parent, prefix=".get-") as scratch:
            copy = Path(scratch) / "copy"
            copy.mkdir()
            fs.copy_files(self._at(name), str(copy), self._files, fs.LocalFileSystem())
            if not is_intact(copy):
                return False
            copy.rename(into)
        return True

    def delete(self, name: str) -> None:
        """Remove a file or folder, its seal first, so that a half-removed folder does not count."""
        kind = self._files.get_file_info(self._at(name)).type
        if kind == fs.FileType.File:
            self._files.delete_file(self._at(name))
        elif kind == fs.FileType.Directory:
            if self._files.get_file_info(self._at(f"{name}/{SEAL}")).type == fs.FileType.File:
                self._files.delete_file(self._at(f"{name}/{SEAL}"))
            self._files.delete_dir(self._at(name))

    def _at(self, name: str) -> str:
        return posixpath.join(self._root, name)


def seal(folder: Path) -> dict[str, str]:
    """Write SEAL into a local folder: the sha256 of each other file, by its name; returns them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SEAL)
    sums = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    (folder / SEAL).write_text(json.dumps({"sha256": sums}, indent=2, sort_keys=True), encoding="utf-8")
    return sums


def is_intact(folder: Path) -> bool:
    """Whether a local folder holds a seal and every file that it names, unaltered."""
    try:
        sums = json.loads((folder / SEAL).read_text(encoding="utf-8"))["sha256"]
        return all(sha256(folder / name) == digest for name, digest in sums.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False
