"""Weights that no package ships: where they must lie, and what to do when they do not."""

from pathlib import Path

import torch

from mien.config import MienError

WEIGHTS = {
    "fan": (
        "2DFAN4-11f355bf06.pth.tar",
        "https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",
    ),
    "sfd": ("s3fd-619a316812.pth", "https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth"),
    "blazeface": ("blazeface.pth", "https://github.com/hollance/BlazeFace-PyTorch/raw/master/blazeface.pth"),
    "blazeface_anchors": (
        "anchors.npy",
        "https://github.com/hollance/BlazeFace-PyTorch/raw/master/anchors.npy",
    ),
}
"""Name -> file in torch.hub's checkpoint folder, and where it comes from."""


def weights_path(name: str) -> Path:
    """Where a weight file lies, whether it is there or not: torch.hub's folder, which TORCH_HOME moves."""
    return Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS[name][0]


def weights(name: str) -> Path:
    """A weight file on this disk. MienError says which file to put where; nothing is downloaded here."""
    path = weights_path(name)
    if not path.is_file():
        raise MienError(
            f"{path} is missing; fetch it with `curl -L --create-dirs -o {path} {WEIGHTS[name][1]}`."
        )
    return path
