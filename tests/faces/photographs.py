"""One real face under many guises: the photograph that scikit-image ships."""

import cv2
import numpy as np
import skimage.data

EYES = np.array(
    [[203.4, 100.4], [245.8, 103.1]]
)  # pupils in the photograph, by eye: the picture's left eye first


def astronaut() -> np.ndarray:
    """(512, 512, 3) RGB; one face."""
    return np.ascontiguousarray(skimage.data.astronaut())


def guises(number: int, side: int = 256) -> list[np.ndarray]:
    """Square pictures of the same face, each shifted, turned, sized and lit otherwise."""
    rng = np.random.default_rng(7)
    pictures = []
    for _ in range(number):
        matrix = cv2.getRotationMatrix2D((225.0, 115.0), rng.uniform(-15, 15), side / rng.uniform(220, 380))
        matrix[:, 2] += np.array([side / 2 - 225, side / 2 - 115]) + rng.uniform(-0.1, 0.1, 2) * side
        turned = cv2.warpAffine(astronaut(), matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
        lit = np.clip(turned * rng.uniform(0.7, 1.2) + rng.normal(0, 4, turned.shape), 0, 255)
        pictures.append(lit.astype(np.uint8))
    return pictures
