"""Flipped training labels: how many, which, and that nothing else changes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from scipy.stats import chisquare

from mien.config import MienError
from mien.config.train import Experiment, LabelNoise, Trial
from mien.manifest.expressions import EXPRESSIONS
from mien.shards.index import About, Index
from mien.shards.indexed import IndexedReader
from mien.shards.label_noise import FLIPS, flips, noisy_labels
from tests.shards.painted import SMALL, people, sharded

CLASSES = EXPRESSIONS[:7]
RAF_DB_TRAIN = 12_271


def labelled(faces: int, first: int = 0) -> Index:
    keys = [f"image-aligned-train_{n:05d}_aligned" for n in range(first, first + faces)]
    expressions = [CLASSES[n % 7] for n in range(first, first + faces)]
    about = About("rafdb", 4, "subject", True, 12, 0.99, 4)
    return Index(Path("rafdb"), pa.table({"key": keys, "expression": expressions}), about)


@pytest.mark.parametrize(("share", "count"), [(0.1, 1227), (0.2, 2454), (0.3, 3681)])
def test_exactly_the_share_is_flipped_and_none_to_itself(share: float, count: int) -> None:
    index = labelled(RAF_DB_TRAIN + 500)
    train = np.arange(RAF_DB_TRAIN)
    shown = noisy_labels(index, train, LabelNoise(share=share, seed=3))
    table = flips(index, shown)
    assert table.schema.equals(FLIPS)
    assert table.num_rows == count
    assert (shown[RAF_DB_TRAIN:] == index.expression[RAF_DB_TRAIN:]).all(), "a held-out label was touched"
    assert all(row["true"] != row["shown"] for row in table.to_pylist())


def test_flips_go_to_each_other_class_alike() -> None:
    index = labelled(RAF_DB_TRAIN)
    shown = noisy_labels(index, np.arange(RAF_DB_TRAIN), LabelNoise(share=0.3, seed=0))
    rows = np.flatnonzero(shown != index.expression)
    number = {name: i for i, name in enumerate(CLASSES)}
    steps = [(number[shown[r]] - number[index.expression[r]]) % 7 for r in rows]
    assert chisquare(np.bincount(steps, minlength=7)[1:]).pvalue > 0.01


def test_the_draw_hangs_on_seed_and_keys_alone() -> None:
    index, rows = labelled(200), np.arange(150)
    one = noisy_labels(index, rows, LabelNoise(share=0.2, seed=1))
    assert (one == noisy_labels(index, rows, LabelNoise(share=0.2, seed=1))).all()
    assert (one != noisy_labels(index, rows, LabelNoise(share=0.2, seed=2))).any()
    turned = Index(index.folder, index.table.take(np.arange(200)[::-1]), index.about)
    other = noisy_labels(turned, 199 - rows, LabelNoise(share=0.2, seed=1))
    assert flips(turned, other).equals(flips(index, one))


def test_no_noise_is_the_corpus_itself() -> None:
    index = labelled(20)
    assert flips(index, noisy_labels(index, np.arange(20), LabelNoise())).num_rows == 0


def test_a_published_list_is_read(tmp_path: Path) -> None:
    index, file = labelled(7), tmp_path / "list.txt"
    file.write_text("train_00000.jpg 7\ntrain_00001_aligned.jpg 1\ntrain_00002.jpg 3\ntrain_00003.jpg 4\n")
    shown = noisy_labels(index, np.arange(3), LabelNoise(file=str(file)))
    assert shown[:4].tolist() == ["neutral", "surprise", "disgust", "surprise"]  # the last is held out
    table = flips(index, shown).to_pylist()
    assert [(row["key"][14:25], row["true"], row["shown"]) for row in table] == [
        ("train_00001", "happy", "surprise"),
        ("train_00002", "sad", "disgust"),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("train_00000.jpg 9\n", "line 1 .* the label '9'"),
        ("train_77777.jpg 1\n", "line 1 .* the face train_77777.jpg"),
        ("train_00000.jpg 1\n", "no line for 2 training faces"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "list.txt"
    file.write_text(text)
    with pytest.raises(MienError, match=complaint):
        noisy_labels(labelled(7), np.arange(3), LabelNoise(file=str(file)))


def test_a_reader_shows_the_flip_and_knows_the_truth(tmp_path: Path) -> None:
    index = sharded("painted", **people().write(tmp_path / "in"), into=tmp_path / "shards", params=SMALL)
    rows = np.flatnonzero(index.expression != None)  # noqa: E711 - of an array
    shown = noisy_labels(index, rows, LabelNoise(share=0.5, seed=0))
    reader = IndexedReader(index, rows, index.classes, ("label", "true_label"), shown=shown)
    (batch,) = reader.in_order(len(rows))
    assert [index.classes[n] for n in batch.label] == shown[rows].tolist()
    assert [index.classes[n] for n in batch.true_label] == index.expression[rows].tolist()
    assert (batch.label != batch.true_label).sum() == round(0.5 * len(rows))


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="not both"):
        LabelNoise(share=0.1, file="list.txt")
    told = {"method": "hrn", "corpus": "a", "second_corpus": "a", "folds": [0], "trials": [Trial()]}
    with pytest.raises(ValidationError, match="not for trials"):
        Experiment(**told, label_noise=LabelNoise(share=0.1))
