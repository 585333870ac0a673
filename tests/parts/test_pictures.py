import torch

from mien.parts.pictures import normalise, resize


def test_normalise_by_hand() -> None:
    assert normalise(torch.tensor([0.0, 127.5, 255.0])).tolist() == [-0.99609375, 0.0, 0.99609375]


def test_the_right_size_is_left_alone() -> None:
    faces = torch.randint(0, 256, (2, 3, 9, 9), dtype=torch.uint8)
    assert torch.equal(resize(faces, 9), faces.float())


def test_shrinking_averages_what_it_leaves_out() -> None:
    board = (torch.arange(64)[:, None] + torch.arange(64)[None]) % 2 * 255
    small = resize(board.expand(1, 3, 64, 64).byte(), 16)
    assert (small[..., 2:-2, 2:-2] - 127.5).abs().max() < 3  # without antialiasing it would be 0 or 255
