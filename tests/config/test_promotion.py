"""Frozen faces that a training could see are refused at load."""

from typing import Any

import pytest

from mien.config import MienError, Params, parse_section


def rendered(first: int, people: int, seed: int = 0) -> dict[str, Any]:
    return {
        "kind": "rendered", "people": people, "first_person": first, "seed": seed, "expressions": ["neutral", "happy"],
    }  # fmt: skip


def folder(source: str) -> dict[str, Any]:
    return {"kind": "folder", "source": source, "classes": {"n": "neutral"}}


def load(corpora: dict[str, Any], promotion: dict[str, Any], reads: str = "seen") -> Params:
    experiment = {"method": "linear_svm", "corpus": reads, "second_corpus": reads, "folds": [0]}
    raw = {
        "preset": "ci", "corpora": corpora, "promotion": promotion, "methods": {"linear_svm": {}},
        "experiments": {"svm": experiment},
    }  # fmt: skip
    return parse_section(Params, raw, "params.yaml", "")


FROZEN = {"frozen": {"seen": "unseen"}}


def test_people_and_pictures_apart_are_taken() -> None:
    assert (
        load({"seen": rendered(0, 36), "unseen": rendered(36, 4)}, FROZEN).promotion.frozen
        == FROZEN["frozen"]
    )
    load({"seen": rendered(0, 36), "unseen": rendered(0, 36, seed=1)}, FROZEN)
    load({"seen": folder("photos"), "unseen": folder("frozen")}, FROZEN)
    load({"seen": folder("photos"), "unseen": rendered(0, 3)}, FROZEN)


@pytest.mark.parametrize(
    ("corpora", "promotion", "reads", "words"),
    [
        ({"seen": rendered(0, 36), "unseen": rendered(36, 4)}, FROZEN, "unseen", r"svm\.corpus is unseen.*no training"),
        ({"seen": rendered(0, 36), "unseen": rendered(35, 4)}, FROZEN, "seen", "shares pictures or people with corpora.seen"),
        ({"seen": rendered(40, 5), "unseen": rendered(36, 5)}, FROZEN, "seen", "shares pictures or people"),
        ({"seen": folder("photos"), "unseen": folder("photos/frozen")}, FROZEN, "seen", "shares pictures or people"),
        ({"seen": folder("photos/./a"), "unseen": folder("photos/a")}, FROZEN, "seen", "shares pictures or people"),
        ({"seen": folder("photos")}, FROZEN, "seen", "promotion.frozen names 'unseen'"),
        ({"seen": folder("photos")}, {"challengers": ["svm"]}, "seen", "challengers names 'svm'"),
    ],
)  # fmt: skip
def test_what_a_training_sees_cannot_be_frozen(
    corpora: dict[str, Any], promotion: dict[str, Any], reads: str, words: str
) -> None:
    with pytest.raises(MienError, match=words):
        load(corpora, promotion, reads)
