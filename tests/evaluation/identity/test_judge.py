import numpy as np
import pytest
import torch

from mien.evaluation.identity.judge import NEEDS, NeutralJudge, equal_error_line
from mien.parts.frontal import aligned
from mien.shards.index import Index
from mien.shards.indexed import IndexedReader
from tests.evaluation import tree


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Index:
    return tree.make_corpus("toy", tmp_path_factory.mktemp("judge"), tree.params())


def seen(index: Index, rows: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    batch = next(iter(IndexedReader(index, rows, index.classes, NEEDS, threads=1).in_order(len(rows))))
    assert batch.points is not None
    return aligned(batch.faces, batch.points), batch.label.numpy() == index.classes.index("neutral")


def test_a_judge_knows_the_faces_that_it_learnt_from_in_any_order(index) -> None:
    rows = np.arange(0, len(index), 2)
    judge = NeutralJudge("neutral").learn(index, rows)
    faces, neutral = seen(index, rows)
    told = judge(faces)
    assert (told == neutral).mean() > 0.9  # noise, but 8100 numbers a face are enough to remember it
    order = torch.randperm(len(faces), generator=torch.Generator().manual_seed(0))
    assert (judge(faces[order]) == told[order.numpy()]).all()


def test_one_person_is_enough_to_learn_from(index) -> None:
    rows = np.flatnonzero(index.group == index.group[0])
    assert len(set(index.expression[rows])) > 1
    faces, neutral = seen(index, rows)
    assert (NeutralJudge("neutral").learn(index, rows)(faces) == neutral).all()


def test_light_does_not_sway_a_judge(index) -> None:
    judge = NeutralJudge("neutral").learn(index, np.arange(len(index)))
    faces = torch.randint(0, 100, (6, 1, 64, 64), generator=torch.Generator().manual_seed(1)).float()
    assert (judge(faces) == judge(2 * faces + 40)).all()  # equalised first


def test_the_line_lies_where_both_kinds_of_unseen_people_fail_alike() -> None:
    random = np.random.default_rng(0)
    neutral = np.tile([True, False, False, False], 60)
    features = random.normal(size=(240, 3)).astype(np.float32)
    features[:, 0] += 2 * neutral
    person = np.repeat(np.arange(30), 8).tolist()
    line, told = equal_error_line(features, neutral, person)
    refused, accepted = (told[neutral] < line).mean(), (told[~neutral] >= line).mean()
    assert abs(refused - accepted) <= 1 / 60  # a neutral face more or less
    assert 0.05 < refused < 0.3  # two spreads apart: 16 % at best


def test_nobody_is_told_by_a_machine_that_saw_them() -> None:
    random = np.random.default_rng(1)
    person = np.repeat(np.arange(12), 10)
    own = random.normal(size=(12, 40)).astype(np.float32)  # what a person's faces have in common
    features = own[person] + 0.01 * random.normal(size=(120, 40)).astype(np.float32)
    neutral = person % 2 == 0  # to be told by knowing the person alone
    line, told = equal_error_line(features, neutral, person.tolist())
    assert 0.2 < (told[neutral] >= line).mean() < 0.8
