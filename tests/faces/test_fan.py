import numpy as np
import pytest
import torch
from face_alignment.models import FAN
from face_alignment.utils import get_preds_fromhm

from mien.config.faces import Align
from mien.faces.fan import FanPredictor, decode_heatmaps
from mien.faces.weights import weights_path
from tests.faces.photographs import guises


@pytest.fixture
def random_fan(tmp_path, monkeypatch):
    """FAN with random weights where the real ones belong: it shows the way through, not the accuracy."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    path = weights_path("fan")
    path.parent.mkdir(parents=True)
    torch.save(FAN(4).state_dict(), path)
    return FanPredictor(Align(), batch_crops=3)


def test_heatmaps_are_decoded_as_face_alignment_does():
    heat = np.random.default_rng(0).random((3, 68, 64, 64), dtype=np.float32)
    heat[0, 0] = 0
    heat[0, 0, 0, 0] = 1  # a peak in the corner has no neighbours to lean to
    theirs, _, _ = get_preds_fromhm(heat.copy())
    # they number cells from one, and take half a cell off
    np.testing.assert_allclose(decode_heatmaps(heat) + 0.5, theirs, atol=1e-5)


def test_batches_give_what_single_crops_give(random_fan):
    crops = guises(4, 112)
    together = random_fan.predict(crops)
    assert together.shape == (4, 68, 2)
    np.testing.assert_allclose(together[3], random_fan.predict([crops[3]])[0], atol=1e-3)
    assert random_fan.predict([]).shape == (0, 68, 2)


def test_a_heatmap_cell_goes_back_to_the_crop_it_came_from(random_fan):
    """A white spot in the crop, seen in the network's square, and taken back as if it were a peak there."""
    crop = np.zeros((112, 112, 3), np.uint8)
    crop[58:63, 48:53] = 255
    square = random_fan._square(crop)[..., 0].astype(float)
    y, x = np.mgrid[:256, :256]
    place = np.array([(square * x).sum(), (square * y).sum()]) / square.sum()
    back = random_fan._back((place[None, None] + 0.5) / 4 - 0.5)
    np.testing.assert_allclose(back[0, 0], (50, 60), atol=0.05)
