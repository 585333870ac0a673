import torch
from torch.nn.functional import cross_entropy

from mien.methods.contract import Phase
from mien.training.ranks import gather_rows
from mien.training.validation import validate
from tests import tiny

CPU = torch.device("cpu")
OFF = torch.autocast("cpu", enabled=False)
PHASE = Phase("classification", epochs=1, batch_size=8)


def figures(batch_size: int, classes: int = 3) -> dict[str, float]:
    reader = tiny.MemoryReader(tiny.faces(11, classes=classes))
    return validate(tiny.build("resnet18"), PHASE, reader, batch_size, CPU, OFF)


def test_figures_by_hand() -> None:
    faces, method = tiny.faces(11), tiny.build("resnet18").eval()
    with torch.no_grad():
        logits = method.validate(faces, PHASE)[1]
    right = (logits.argmax(dim=1) == faces.label).double()
    got = figures(11)
    assert abs(got["validation_loss"] - float(cross_entropy(logits, faces.label))) < 1e-6
    assert abs(got["validation_accuracy"] - float(right.mean())) < 1e-9
    by_class = [float(right[faces.label == k].mean()) for k in range(3)]
    assert abs(got["validation_mean_accuracy"] - sum(by_class) / 3) < 1e-6


def test_batch_size_does_not_move_them() -> None:
    for batch_size in (1, 4, 11, 50):
        got = figures(batch_size)
        assert got["validation_accuracy"] == figures(11)["validation_accuracy"]
        assert abs(got["validation_loss"] - figures(11)["validation_loss"]) < 1e-5


def test_a_class_without_faces_does_not_count_as_missed() -> None:
    got = figures(4, classes=2)
    label, logits = tiny.faces(11, classes=2).label, None
    logits = tiny.build("resnet18").eval().validate(tiny.faces(11, classes=2), PHASE)[1]
    right = logits.argmax(dim=1) == label
    expected = sum(float(right[label == k].float().mean()) for k in range(2)) / 2
    assert abs(got["validation_mean_accuracy"] - expected) < 1e-6


def test_two_ranks_count_each_face_once(two_ranks) -> None:
    alone = figures(4)
    for got in two_ranks(figures, 4):
        assert got["validation_accuracy"] == alone["validation_accuracy"]
        assert abs(got["validation_loss"] - alone["validation_loss"]) < 1e-5


def rows_of_this_rank(counts: list[int]) -> torch.Tensor:
    rank = torch.distributed.get_rank()
    return gather_rows(torch.full((counts[rank], 2), float(rank + 1)))


def test_rows_are_gathered_in_rank_order_also_from_a_rank_without_any(two_ranks) -> None:
    for rows in two_ranks(rows_of_this_rank, [3, 1]):
        assert rows[:, 0].tolist() == [1, 1, 1, 2]
    for rows in two_ranks(rows_of_this_rank, [0, 2]):
        assert rows.tolist() == [[2, 2], [2, 2]]
