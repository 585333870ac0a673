"""Weights from a file that somebody else trained."""

import hashlib
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises; nothing here unpickles
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mien.config import MienError


def load_weights(module: nn.Module, path: str, key: str, within: str = "") -> str:
    """Fill a module from a .safetensors or .pt state dict and return the file's SHA-256.

    Every parameter and statistic of the module must be there with its shape. Other tensors of the file are
    left alone, and a missing `num_batches_tracked` (old files) is forgiven. In a model that mien saved the
    module's names begin with `within`, the attribute that holds it, and a dot; a file may hold its tensors
    under `state_dict` and name them `module.`, as those of ResNet-18 trained on MS-Celeb-1M do.
    MienError names `key`, the setting.
    """
    file = Path(path)
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        loaded: dict[str, Any] = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    except OSError as error:
        raise MienError(f"{key} names {file}, which cannot be read ({error.strerror}).") from error
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise MienError(f"{key} names {file}, which is not a state dict of tensors ({error}).") from error
    found: dict[str, Tensor] = loaded.get("state_dict", loaded)
    state = {name.removeprefix("module.").removeprefix(f"{within}."): v for name, v in found.items()}
    own = module.state_dict()
    for name, tensor in own.items():
        if name not in state and name.endswith("num_batches_tracked"):
            continue
        if name not in state:
            raise MienError(f"{key} names {file}, which lacks {name}: weights of another network.")
        if state[name].shape != tensor.shape:
            there, wanted = tuple(state[name].shape), tuple(tensor.shape)
            raise MienError(f"{key} names {file}, whose {name} is {there}, not {wanted}.")
        own[name] = state[name]
    module.load_state_dict(own)
    return digest
