import numpy as np
import pytest
import torch

from mien.evaluation.identity.judge import NEEDS, ExpressionJudge
from mien.parts.frontal import aligned
from mien.shards.indexed import IndexedReader
from tests.evaluation import tree


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return tree.make_corpus("toy", tmp_path_factory.mktemp("judge"), tree.params())


def test_a_judge_names_the_faces_that_it_learnt_from_in_any_order(index) -> None:
    rows = np.arange(0, len(index), 2)
    judge = ExpressionJudge().learn(index, rows)
    batch = next(iter(IndexedReader(index, rows, index.classes, NEEDS, threads=1).in_order(len(rows))))
    assert batch.points is not None
    faces = aligned(batch.faces, batch.points)
    named = judge(faces)
    assert (named == batch.label.numpy()).mean() > 0.9  # noise, but a kernel machine of C 10 remembers it
    order = torch.randperm(len(faces), generator=torch.Generator().manual_seed(0))
    assert (judge(faces[order]) == named[order.numpy()]).all()


def test_light_does_not_sway_a_judge(index) -> None:
    judge = ExpressionJudge().learn(index, np.arange(len(index)))
    faces = torch.randint(0, 100, (6, 1, 64, 64), generator=torch.Generator().manual_seed(1)).float()
    assert (judge(faces) == judge(2 * faces + 40)).all()  # equalised first
