"""A cell from shards to weights and predictions, without Ray."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from mien import methods
from mien.config import MienError, Params
from mien.config.train import Cell, LabelNoise
from mien.evaluation.predictions import PREDICTIONS
from mien.methods.contract import Phase
from mien.shards.folds import split_fold
from mien.shards.index import Index, read_index
from mien.training.cell import FLIPS_FILE, Trained, part_readers, train_cell
from mien.training.loop import Options
from tests import striped, tiny

CELL = Cell(fold=1, seed=5)
PEOPLE = Phase("knowledge_transfer", epochs=1, batch_size=4, label="subject")
FACES = Phase("classification", epochs=1, batch_size=4)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return striped.write_corpus(tmp_path_factory.mktemp("striped"))


@pytest.fixture(scope="module")
def index(shards: Path) -> Index:
    return read_index(shards / "striped")


def params(root: Path, method: str = "resnet18") -> Params:
    made = striped.tiny(root)
    entry = made.experiments["tiny"].model_copy(update={"method": method})
    known = {**made.methods, "linear_svm": {"input_px": 8}}
    return made.model_copy(update={"experiments": {"tiny": entry}, "methods": known})


@pytest.fixture(scope="module")
def trained(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    root = tmp_path_factory.mktemp("cell")
    return train_cell(params(root), "tiny", CELL, shards, root / "model", Options()), root / "model"


def test_each_face_held_out_is_predicted_once(trained, index: Index) -> None:
    table = trained[0].predictions
    assert table.schema.equals(PREDICTIONS)
    split = split_fold(index, CELL.fold, 0.25, 0)
    for part, rows in (("test", split.test), ("validation", split.validation)):
        chosen = table.filter(pc.equal(table["part"], part))
        assert sorted(chosen["key"].to_pylist()) == sorted(index.keys[rows].tolist())
        label = dict(zip(index.keys.tolist(), index.expression.tolist(), strict=True))
        told = [index.classes[n] for n in chosen["label"].to_pylist()]
        assert told == [label[key] for key in chosen["key"].to_pylist()]
    assert set(table["fold"].to_pylist()) == {1}
    assert set(table["seed"].to_pylist()) == {5}
    assert np.allclose([sum(p) for p in table["probabilities"].to_pylist()], 1, atol=1e-5)


def test_the_saved_model_predicts_what_stands_in_the_table(trained, shards: Path, index: Index) -> None:
    made, folder = trained
    method, about = methods.load(folder)
    assert (about["corpus"], about["fold"], about["seed"]) == ("striped", 1, 5)
    assert about["align"]["crop_px"] == 112
    assert about["shards_digest"] == index.digest
    split = split_fold(index, CELL.fold, 0.25, 0)
    reader = part_readers(method, index, replace(split, validation=split.test), shards)(FACES, "validation")
    stands = dict(
        zip(made.predictions["key"].to_pylist(), made.predictions["probabilities"].to_pylist(), strict=True)
    )
    with torch.no_grad():
        for batch in reader.in_order(5):
            for key, probabilities in zip(batch.keys, method.predict(batch).tolist(), strict=True):
                assert np.allclose(probabilities, stands[key], atol=1e-6)  # another batch size


def test_a_second_run_is_equal_to_the_bit(trained, shards: Path, tmp_path: Path) -> None:
    again = train_cell(params(tmp_path), "tiny", CELL, shards, tmp_path / "model", Options(seed=99))
    assert again.predictions.equals(trained[0].predictions)


def test_a_method_without_gradients_takes_the_same_way(shards: Path, tmp_path: Path) -> None:
    made = train_cell(params(tmp_path, "linear_svm"), "tiny", CELL, shards, tmp_path / "model", Options())
    assert [end.phase for end in made.ends] == ["fit"]
    assert "validation_mean_accuracy" in made.ends[0].values
    assert "validation_loss" not in made.ends[0].values
    assert made.record == {"features": "pixels"}


def test_no_reader_holds_a_face_of_another_part(index: Index, shards: Path) -> None:
    split = split_fold(index, 0, 0.25, 0)
    readers = part_readers(tiny.build("resnet18"), index, split, shards)
    for phase in (FACES, PEOPLE):
        train, validation = (keys_of(readers(phase, part)) for part in ("train", "validation"))
        assert not train & validation
        assert not (train | validation) & set(index.keys[split.test].tolist())
    assert keys_of(readers(FACES, "train")) == set(index.keys[split.train].tolist())
    assert keys_of(readers(FACES, "validation")) == set(index.keys[split.validation].tolist())


def test_people_as_labels_are_the_training_people_in_both_parts(index: Index, shards: Path) -> None:
    split = split_fold(index, 0, 0.25, 0)
    readers = part_readers(tiny.build("resnet18"), index, split, shards)
    train, validation = readers(PEOPLE, "train"), readers(PEOPLE, "validation")
    assert train.labels == validation.labels == len(set(index.subject[split.train]))
    person = dict(zip(index.keys.tolist(), index.subject.tolist(), strict=True))
    numbers: dict[int, set[str]] = {}
    for reader in (train, validation):
        for batch in reader.in_order(50):
            for key, number in zip(batch.keys, batch.label.tolist(), strict=True):
                numbers.setdefault(number, set()).add(person[key])
    assert all(len(names) == 1 for names in numbers.values()), "a person has two numbers"


def test_another_corpus_is_read_without_the_people_held_out(
    index: Index, shards: Path, tmp_path: Path
) -> None:
    other = tmp_path / "shards" / "people"
    other.parent.mkdir()
    other.symlink_to(shards / "striped")  # the same people under another name: the worst case
    split = split_fold(index, 0, 0.25, 0)
    readers = part_readers(tiny.build("resnet18"), index, split, tmp_path / "shards")
    held_out = set(index.subject[np.r_[split.test, split.validation]])
    for phase in (replace(PEOPLE, corpus="people"), replace(FACES, corpus="people")):
        names = {key.split("-")[0] for key in keys_of(readers(phase, "train"))}
        assert names == set(index.subject) - held_out


def test_a_missing_weight_file_stops_the_cell_at_once(shards: Path, tmp_path: Path) -> None:
    made = params(tmp_path)
    missing = {**made.methods, "resnet18": {**made.methods["resnet18"], "weights": "nowhere.pt"}}
    with pytest.raises(MienError, match=r"methods\.resnet18\.weights names nowhere\.pt, which is not there"):
        train_cell(
            made.model_copy(update={"methods": missing}), "tiny", CELL, shards, tmp_path / "m", Options()
        )


def cell_of_this_rank(shards: str, root: str) -> tuple[dict, bool]:
    into = Path(root) / f"model-{torch.distributed.get_rank()}"
    made = train_cell(
        params(Path(root)), "tiny", CELL, Path(shards), into, Options(), wrap=DistributedDataParallel
    )
    return made.predictions.to_pydict(), into.exists()


def test_two_ranks_gather_all_predictions_and_the_first_saves(
    two_ranks, trained, shards: Path, tmp_path: Path
) -> None:
    (first, saved), (second, also_saved) = two_ranks(cell_of_this_rank, str(shards), str(tmp_path))
    assert first == second
    assert (saved, also_saved) == (True, False)
    for name in ("key", "part", "label"):
        assert first[name] == trained[0].predictions[name].to_pylist()


def keys_of(reader) -> set[str]:
    return {key for batch in reader.in_order(50) for key in batch.keys}


def test_label_noise_reaches_training_alone(shards: Path, index: Index, tmp_path: Path) -> None:
    made = params(tmp_path)
    entry = made.experiments["tiny"].model_copy(update={"label_noise": LabelNoise(share=0.25, seed=1)})
    noisy = train_cell(
        made.model_copy(update={"experiments": {"tiny": entry}}), "tiny", CELL, shards, tmp_path, Options()
    )
    split = split_fold(index, CELL.fold, 0.25, 0)
    flipped = pq.read_table(tmp_path / FLIPS_FILE)
    assert flipped.num_rows == round(0.25 * len(split.train)) == noisy.record["flipped_labels"]
    assert set(flipped["key"].to_pylist()) <= set(index.keys[split.train].tolist())
    true = dict(zip(index.keys.tolist(), index.expression.tolist(), strict=True))
    for key, label in zip(
        noisy.predictions["key"].to_pylist(), noisy.predictions["label"].to_pylist(), strict=True
    ):
        assert index.classes[label] == true[key], "a held-out label was touched"
