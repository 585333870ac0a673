"""The model card says everything that its reader must know."""

from pathlib import Path
from typing import Any

from mien.evaluation.notice import FORBIDDEN, LIMITS, RENDERED
from mien.tracking.card import CardFacts, card

RUN = {
    "classes": ["neutral", "happy"], "method": "resnet18", "corpus": "mine", "shards_digest": "abc", "protocol": {"by": "subject", "folds": 4},
}  # fmt: skip
TAGS = {"git_commit": "c0ffee", "dvc_lock": "10c4", "seed": "3", "run_digest": "d16e57"}


def facts(**changed: Any) -> CardFacts:
    known: dict[str, Any] = {
        "name": "mien-mine", "run": RUN, "cell": {"fold": 1, "seed": 3, "record": {"epochs": 34}},
        "described": {"align": {"detector": "mtcnn"}, "landmarks": {"model": "dlib"}, "needs": ["faces"], "corpus": "mine"},
        "scores": {"mean_accuracy": {"mean": 0.7, "low": 0.6, "high": 0.8}}, "validation": 0.75, "tags": TAGS,
        "rendered": False, "gated": False, "paper": "a paper", "second_corpus": None, "files": {},
    }  # fmt: skip
    return CardFacts(**known | changed)


def test_data_protocol_figures_limits_licences_and_the_way_back() -> None:
    text = card(facts())
    for words in (
        "corpus `mine`, shards with digest `abc`", "folds: 4", "fold 1, seed 3", "75.0 %", "70.0 % (60.0 to 80.0)",
        "MTCNN detector of facenet-pytorch: MIT", "the terms on which its pictures are held", "`git_commit`: `c0ffee`",
        "`dvc_lock`: `10c4`", "`seed`: `3`", *FORBIDDEN, *LIMITS,
    ):  # fmt: skip
        assert words in text
    assert RENDERED not in text
    assert "68-point predictor" not in text


def test_what_else_went_into_the_weights_is_told() -> None:
    text = card(facts(second_corpus="cfp", files={"weights": Path("weights/x.pt")}, gated=True))
    assert "corpus `cfp`, read beside it while training" in text
    assert "corpus `cfp`, which its training read too: its own terms bind" in text
    assert "weights in `weights/x.pt` (`weights`): their owner's terms bind" in text
    assert "may not be handed on" in text
