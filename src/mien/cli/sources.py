"""What the words of `mien predict` stand for: pictures, videos, folders of them, and patterns."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.config import MienError

PICTURES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
VIDEOS = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv"))


@dataclass(frozen=True)
class Source:
    """A picture or a video."""

    path: Path
    name: Path  # below the folder that was given, so that copies elsewhere keep the same tree

    @property
    def is_video(self) -> bool:
        """By its name, as its bytes may be anything."""
        return self.path.suffix.lower() in VIDEOS


def sources(words: Sequence[Path]) -> list[Source]:
    """Files as given, whatever their names; of folders and patterns the pictures and videos, in order.

    A folder is searched with all below it, a pattern such as `photos/*/smile*` as the shell would.
    MienError: a folder or a pattern in which there is none.
    """
    found: dict[Path, Source] = {}
    for word in words:
        for source in _of(word):
            found.setdefault(source.path, source)
    return list(found.values())


def _of(word: Path) -> Iterator[Source]:
    if word.is_dir():
        inside = sorted(path for path in word.rglob("*") if _known(path))
        if not inside:
            raise MienError(f"{word} has no pictures or videos ({', '.join(sorted(PICTURES | VIDEOS))}).")
        yield from (Source(path, path.relative_to(word)) for path in inside)
    elif glob.has_magic(str(word)) and not word.exists():
        fixed = _fixed(word)
        matching = sorted(fixed.glob(str(word.relative_to(fixed))))
        inside = [path for path in matching if _known(path)]
        if not inside:
            raise MienError(f"no picture or video is named like {word}.")
        yield from (Source(path, path.relative_to(fixed)) for path in inside)
    else:
        yield Source(word, Path(word.name))


def _known(path: Path) -> bool:
    return path.suffix.lower() in PICTURES | VIDEOS and path.is_file()


def _fixed(pattern: Path) -> Path:
    """The folder above the first part with a wildcard."""
    parts: list[str] = []
    for part in pattern.parts:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)
