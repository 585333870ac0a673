import torch

from mien.parts.centre import away_from_zero


def test_by_hand() -> None:
    centre = torch.tensor([0.5, 0.05, -0.05, 0.0, -0.0, -0.2, 0.1])
    torch.testing.assert_close(away_from_zero(centre), torch.tensor([0.5, 0.1, -0.1, 0.1, 0.1, -0.2, 0.1]))
