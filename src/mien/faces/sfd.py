"""S3FD (Zhang et al., "Single Shot Scale-invariant Face Detector", 2017), the network of face-alignment.

face-alignment decodes boxes one cell at a time in Python; here a batch is decoded at once.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from face_alignment.detection.sfd.net_s3fd import s3fd
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import nms

from mien.faces.detect import Detector, Faces, Picture
from mien.faces.dlib_faces import five_of, predict_68
from mien.faces.weights import weights

MEAN_BGR = (104.0, 117.0, 123.0)
CANDIDATE, KEPT, OVERLAP = 0.05, 0.5, 0.3
VARIANCES = 0.1, 0.2


class Sfd(Detector):
    """S3FD boxes; its five points are dlib's, as the network has none."""

    def __init__(self) -> None:
        self.net: nn.Module = s3fd()
        self.net.load_state_dict(torch.load(weights("sfd"), map_location="cpu", weights_only=True))
        self.net.eval()

    @torch.inference_mode()
    def detect(self, pictures: Sequence[Picture]) -> list[Faces]:
        """Find faces; pictures of one size go through the network together."""
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for k, picture in enumerate(pictures):
            groups[picture.shape].append(k)
        found: list[Faces] = [Faces.none()] * len(pictures)
        for members in groups.values():
            pixels = torch.from_numpy(np.stack([pictures[k] for k in members])).permute(0, 3, 1, 2).float()
            levels = self.net(pixels.flip(1) - torch.tensor(MEAN_BGR).view(1, 3, 1, 1))
            for at, k in enumerate(members):
                found[k] = _faces(pictures[k], _decode([level[at] for level in levels]))
        return found


def _decode(levels: Sequence[Tensor]) -> Tensor:
    """Boxes and scores (K, 5) of one picture, overlaps removed, from class and box maps by level."""
    tables = []
    for level in range(len(levels) // 2):
        faceness, shifts = levels[2 * level].softmax(dim=0)[1], levels[2 * level + 1]
        stride = 2.0 ** (level + 2)
        rows, columns = torch.nonzero(faceness > CANDIDATE, as_tuple=True)
        moved = shifts[:, rows, columns].T
        centre = (
            torch.stack((columns, rows), 1) * stride + stride / 2 + moved[:, :2] * VARIANCES[0] * stride * 4
        )
        size = stride * 4 * torch.exp(moved[:, 2:] * VARIANCES[1])
        tables.append(torch.cat([centre - size / 2, centre + size / 2, faceness[rows, columns, None]], dim=1))
    table = torch.cat(tables)
    table = table[nms(table[:, :4], table[:, 4], OVERLAP)]
    return table[table[:, 4] > KEPT]


def _faces(picture: Picture, table: Tensor) -> Faces:
    if len(table) == 0:
        return Faces.none()
    boxes, scores = table[:, :4].numpy(), table[:, 4].numpy()
    return Faces(boxes, scores, np.stack([five_of(predict_68(picture, _as_dlib(box))) for box in boxes]))


def _as_dlib(box: NDArray[np.float32]) -> NDArray[np.float32]:
    """The square from brow to chin that dlib's predictor expects, in a box that reaches up to the hair."""
    left, top, right, bottom = box
    half = (right - left + bottom - top) / 4
    x, y = (left + right) / 2, (top + bottom) / 2 + 0.12 * (bottom - top)
    return np.array([x - half, y - half, x + half, y + half], np.float32)
