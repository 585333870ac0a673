from typing import get_args

import pytest

from mien.config import corpora
from mien.corpora.catalogue import CATALOGUE
from mien.corpora.official import adapter

PAPERS = {"HS-OCFER", "HSNet", "SNA", "IDFERM", "EAN"}


def kinds() -> list[str]:
    """Kinds of corpora that have an adapter."""
    union, _ = get_args(corpora.CorpusConfig)
    sections = [cls for cls in get_args(union) if issubclass(cls, corpora.OfficialCorpus)]
    return [get_args(section.model_fields["kind"].annotation)[0] for section in sections]


def test_every_corpus_with_an_adapter_is_in_the_catalogue():
    assert "raf_db" in kinds()
    assert set(CATALOGUE) >= set(kinds())
    assert not {"vggface2", "vgg_face", "ms_celeb_1m"} & set(kinds())  # withdrawn, or dead addresses


@pytest.mark.parametrize(
    ("kind", "layout"), [(kind, layout) for kind in kinds() for layout in CATALOGUE[kind].layouts]
)
def test_a_layout_that_is_accepted_is_one_that_its_adapter_finds(tmp_path, kind, layout):
    for name in layout:
        (tmp_path / name.replace("*", "01")).mkdir(parents=True)
    assert any(marker == "" or next(tmp_path.glob(marker), None) for marker in adapter(kind).MARKERS)


def test_the_papers_use_the_corpora_that_they_say():
    used = {paper: {kind for kind, entry in CATALOGUE.items() if paper in entry.used_by} for paper in PAPERS}
    assert used == {
        "HS-OCFER": {"raf_db", "kdef", "cfee", "expw"},
        "HSNet": {"raf_db", "kdef", "rafd", "ferg_db", "vggface2"},
        "SNA": {"ck_plus", "oulu_casia", "affectnet"},
        "IDFERM": {"ck_plus", "oulu_casia", "mmi", "multi_pie", "vggface2", "vgg_face"},
        "EAN": {"raf_db", "ferplus", "cfp", "ms_celeb_1m"},
    }


def test_what_was_withdrawn_has_nobody_to_ask():
    withdrawn = {kind for kind, entry in CATALOGUE.items() if "withdrawn" in entry.licence}
    assert withdrawn == {"vggface2", "ms_celeb_1m"}
    assert all(CATALOGUE[kind].ask.startswith("nobody") for kind in withdrawn)
