"""`mien corpora fetch`: the public parts of a corpus, with pinned digests. What is gated never comes.

pooch checks the digest and puts the file in its place; a download that broke off goes on where it stopped.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch
import requests

from mien.config.errors import MienError
from mien.corpora.catalogue import CATALOGUE, Public
from mien.corpora.members import room
from mien.manifest.tables import sha256

MOST_BYTES = 64 << 20  # of one file: a server that sends without end is left
_CHUNK = 1 << 16
_PATIENCE_S = 30  # without a byte
Progress = Callable[[int, int], None]


def fetch_public(kind: str, into: Path, progress: Progress) -> list[Path]:
    """Put the public files of a kind of corpus into a folder; those that are there already are checked.

    progress(done, total) counts bytes. MienError: nothing of it is public, the address does not answer, or
    what is there or comes is another file than the one pinned.
    """
    entry = CATALOGUE.get(kind)
    if entry is None:
        raise MienError(f"{kind} is no corpus of the papers, which are {', '.join(CATALOGUE)}.")
    if not entry.public:
        raise MienError(f"Nothing of {kind} is public, and mien fetches nothing else; ask {entry.ask}.")
    with room(into):
        return [_fetch(part, into, progress) for part in entry.public]


def _fetch(part: Public, into: Path, progress: Progress) -> Path:
    path = into / part.name
    if path.exists():
        if sha256(path) != part.sha256:
            raise MienError(f"{path} is not the file that its owner gives out; move it away and fetch again.")
        return path
    resuming = Resuming(into / f".{part.name}.part", progress)
    try:
        pooch.retrieve(
            part.address, known_hash=f"sha256:{part.sha256}", fname=part.name, path=into, downloader=resuming
        )
    except ValueError as error:
        raise MienError(
            f"{part.address} is not the file that was pinned (sha256 {part.sha256[:12]}...), nothing was "
            "kept; look at what its owner changed before you use it."
        ) from error
    except requests.exceptions.RequestException as error:
        raise MienError(
            f"{part.address} broke off or does not answer ({type(error).__name__}); what came is kept, give "
            "the command again."
        ) from error
    return path


@dataclass(frozen=True)
class Resuming:
    """A downloader for pooch whose bytes wait in `part` until all are there."""

    part: Path
    progress: Progress

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Fetch url into output_file. requests' errors: what came until then stays in `part`."""
        have = self.part.stat().st_size if self.part.is_file() else 0
        # a server that packs text counts packed bytes, in which one cannot go on
        wanted = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=wanted, stream=True, timeout=_PATIENCE_S) as answer:
            goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                self.part.unlink()  # it is as long as the file, or longer: not worth more than a fresh start
                self(url, output_file, pooch)
                return
            answer.raise_for_status()
            if not (goes_on and answer.status_code == requests.codes.partial_content):
                have = 0
            self._take(answer, have)
        self.part.replace(output_file)

    def _take(self, answer: requests.Response, have: int) -> None:
        total = have + int(answer.headers.get("Content-Length", 0))
        with self.part.open("r+b" if have else "wb") as file:
            file.seek(have)
            for chunk in answer.iter_content(_CHUNK):
                have += len(chunk)
                if have > MOST_BYTES:
                    raise requests.exceptions.ContentDecodingError(f"more than {MOST_BYTES >> 20} MiB")
                file.write(chunk)
                self.progress(have, max(total, have))
