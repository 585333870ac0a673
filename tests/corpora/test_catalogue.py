from typing import get_args

from mien.config import corpora
from mien.corpora.catalogue import CATALOGUE

PAPERS = {"HS-OCFER", "HSNet", "SNA", "IDFERM", "EAN"}


def test_every_official_kind_of_params_yaml_is_in_the_catalogue():
    union, _ = get_args(corpora.CorpusConfig)
    kinds = {get_args(section.model_fields["kind"].annotation)[0] for section in get_args(union)}
    assert kinds - {"rendered", "folder"} <= set(CATALOGUE)
    assert not {"rendered", "folder"} & set(CATALOGUE)


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
