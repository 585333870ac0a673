import numpy as np
import pytest
import torch
from skimage.feature import hog as skimage_hog

from mien.parts.hog import hog, hog_size


@pytest.mark.parametrize(("side", "cell"), [(48, 8), (32, 16), (50, 8)])
def test_it_is_what_scikit_image_computes(side: int, cell: int) -> None:
    pictures = np.random.default_rng(0).uniform(0, 1, (3, side, side))
    cells = side // cell - 1
    ours = hog(torch.from_numpy(pictures), cell)
    assert ours.shape == (3, hog_size(side, cell))
    theirs = [
        skimage_hog(p, orientations=9, pixels_per_cell=(cell, cell), cells_per_block=(2, 2)) for p in pictures
    ]
    by_place = np.stack(theirs).reshape(3, cells, cells, 4, 9).transpose(0, 4, 3, 1, 2).reshape(3, -1)
    np.testing.assert_allclose(ours.numpy(), by_place, rtol=0, atol=1e-6)


def test_a_blank_picture_gives_zeros() -> None:
    assert not hog(torch.full((1, 32, 32), 0.5), 8).any()
