"""Where faces come from: each kind of corpus becomes a manifest. The one place that knows all kinds."""

from collections.abc import Callable
from pathlib import Path

from mien.config.corpora import CorpusConfig, FolderCorpus, OfficialCorpus

MANIFEST_FILE = "manifest.parquet"


def make_corpus(
    name: str, config: CorpusConfig, into: Path, basis_cache: Path, progress: Callable[[int, int], None]
) -> None:
    """Make the corpus directory `into` with its manifest, and for a rendered corpus its pictures.

    basis_cache keeps what the renderer computes once; `progress(done, total)` counts pictures.
    MienError: the user's folder, or an official archive, cannot be read as a corpus.
    """
    # each kind is imported only when asked for: the renderer loads a mesh library
    if isinstance(config, FolderCorpus):
        from mien.corpora.folder import read_folder

        read_folder(name, config, into, progress)
    elif isinstance(config, OfficialCorpus):
        from mien.corpora.official import read_official

        read_official(name, config, into, progress)
    else:
        from mien.corpora.rendered import render_corpus

        render_corpus(name, config, into, basis_cache, progress)


def picture_root(config: CorpusConfig, directory: Path) -> Path:
    """The folder that a manifest's paths are relative to: the corpus directory, or the user's own."""
    if isinstance(config, FolderCorpus) or (isinstance(config, OfficialCorpus) and not config.makes_pictures):
        return Path(config.source)
    return directory
