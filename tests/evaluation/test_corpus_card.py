import json
from typing import get_args

import pytest

from mien.config.corpora import FolderCorpus, Official, RafDbCorpus, RenderedCorpus
from mien.corpora.official import COUNTS_FILE
from mien.evaluation.corpus_card import SURE, corpus_card
from tests.corpora.trees import section


@pytest.mark.parametrize("kind", get_args(Official), ids=lambda kind: kind.__name__)
def test_each_corpus_of_the_papers_says_whose_it_is_and_how_sure_its_layout_is(kind, tmp_path):
    card = dict(corpus_card(section(kind, tmp_path), tmp_path))
    assert "ask " in card["Licence"]
    assert card["Layout"].endswith(tuple(f"({words})" for words in SURE.values()))
    assert card["Pictures may leave this machine"] == "no, by its owner's terms"


def test_what_the_owner_allows_is_said(tmp_path):
    card = dict(corpus_card(section(RafDbCorpus, tmp_path, allow_push=True), tmp_path))
    assert card["Pictures may leave this machine"] == "yes"


def test_counts_that_differ_are_named(tmp_path):
    counts = {"found": {"train": 12_271, "test": 3_067}, "official": {"train": 12_271, "test": 3_068}}
    (tmp_path / COUNTS_FILE).write_text(json.dumps(counts))
    config = section(RafDbCorpus, tmp_path)
    assert dict(corpus_card(config, tmp_path))["Owner's counts"] == "found are test 3067 of 3068"
    counts["found"]["test"] = 3_068
    (tmp_path / COUNTS_FILE).write_text(json.dumps(counts))
    assert dict(corpus_card(config, tmp_path))["Owner's counts"] == "all 2 are found"


def test_rendered_faces_and_own_photographs_have_cards(tmp_path):
    rendered = RenderedCorpus(kind="rendered", people=1, expressions=["happy"])
    assert "no person is in them" in dict(corpus_card(rendered, tmp_path))["Licence"]
    own = FolderCorpus(kind="folder", source="x", classes={"a": "sad"}, gated=True)
    card = dict(corpus_card(own, tmp_path))
    assert card["Pictures may leave this machine"] == "no, by its owner's terms"
    assert "Owner's counts" not in card
