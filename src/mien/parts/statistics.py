"""Batch norm's running statistics, where several turns pass through one network."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def running(*networks: nn.Module) -> Iterator[None]:
    """Normalise by running statistics, and leave them as they are, also in training."""
    norms = [m for network in networks for m in network.modules() if isinstance(m, _BatchNorm) and m.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()


@contextmanager
def unmoved(*networks: nn.Module) -> Iterator[None]:
    """Leave running statistics as they are; in training a batch is still normalised by its own."""
    norms = [m for network in networks for m in network.modules() if isinstance(m, _BatchNorm)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def hold(network: nn.Module) -> None:
    """Normalise by running statistics, and leave them as they are, until the next call of `train`."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
