"""FAN, the four hourglasses of face-alignment (Bulat and Tzimiropoulos, 2017), on whole batches of crops.

face-alignment itself passes one face at a time, and compiles for minutes on a CPU: only its network is
used here.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from face_alignment.models import FAN
from numpy.typing import NDArray

from mien.config.faces import Align
from mien.faces.align import eye_places
from mien.faces.detect import Picture
from mien.faces.landmarks import Points, Predictor
from mien.faces.weights import weights

INPUT_PX, HEATMAP_PX = 256, 64
# face-alignment shows the network a square of 200/195 times width plus height of S3FD's box, a little above
# its middle; about the eyes that square is, in eye distances:
SIDE, BELOW = 4.0, 0.45
PASS = 8  # crops to a pass of the network: more is not faster on a CPU, and takes 60 MB each


class FanPredictor(Predictor):
    """FAN on squares about the eyes' known places."""

    def __init__(self, align: Align, batch_crops: int = PASS) -> None:
        self.net = FAN(4)
        self.net.load_state_dict(torch.load(weights("fan"), map_location="cpu", weights_only=True))
        self.net.eval()
        self.batch_crops = batch_crops
        eyes = eye_places(align)
        distance = eyes[1, 0] - eyes[0, 0]
        self._scale = INPUT_PX / (SIDE * distance)
        self._middle = eyes.mean(0) + np.array([0, BELOW * distance])

    @torch.inference_mode()
    def predict(self, crops: Sequence[Picture]) -> Points:
        """Place the points on all crops, `batch_crops` to a pass."""
        places = [np.empty((0, 68, 2), np.float32)]
        for start in range(0, len(crops), self.batch_crops):
            squares = np.stack([self._square(crop) for crop in crops[start : start + self.batch_crops]])
            heat = self.net(torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255)
            heat = heat[-1] if isinstance(heat, list) else heat
            places.append(decode_heatmaps(heat.numpy()))
        return self._back(np.concatenate(places))

    def _square(self, crop: Picture) -> Picture:
        """The network's view of a crop: its middle in the middle, enlarged by `_scale`."""
        shift = (INPUT_PX - 1) / 2 - self._scale * self._middle
        matrix = np.array([[self._scale, 0, shift[0]], [0, self._scale, shift[1]]])
        return np.asarray(
            cv2.warpAffine(crop, matrix, (INPUT_PX, INPUT_PX), flags=cv2.INTER_LINEAR), dtype=np.uint8
        )

    def _back(self, places: Points) -> Points:
        pixels = (places + 0.5) * (INPUT_PX / HEATMAP_PX) - 0.5  # heatmap cells are four input px wide
        return np.asarray((pixels - (INPUT_PX - 1) / 2) / self._scale + self._middle, dtype=np.float32)


def decode_heatmaps(heat: NDArray[np.float32]) -> Points:
    """Peaks of maps (N, 68, H, W), a quarter cell towards the higher neighbour: (N, 68, 2) x, y in cells."""
    number, maps, height, width = heat.shape
    flat = heat.reshape(number, maps, -1).argmax(axis=-1)
    y, x = np.divmod(flat, width)
    n, m = np.ogrid[:number, :maps]
    inner = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    xi, yi = np.clip(x, 1, width - 2), np.clip(y, 1, height - 2)
    slope_x = np.sign(heat[n, m, yi, xi + 1] - heat[n, m, yi, xi - 1])
    slope_y = np.sign(heat[n, m, yi + 1, xi] - heat[n, m, yi - 1, xi])
    return np.stack([x + 0.25 * slope_x * inner, y + 0.25 * slope_y * inner], axis=-1).astype(np.float32)
