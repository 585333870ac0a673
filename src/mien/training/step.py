"""One step of any method."""

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mien.config import MienError
from mien.methods.contract import Method, Phase
from mien.shards.batch import Batch


def step(
    module: nn.Module,
    method: Method,
    batch: Batch,
    phase: Phase,
    number: int,
    optimizers: Mapping[str, Optimizer],
    autocast: AbstractContextManager[object],
) -> dict[str, Tensor]:
    """Take every turn of step `number` of a phase; the loss terms, detached.

    `module` is the method, or what a caller wrapped round it to bring ranks together.
    """
    seen: dict[str, Tensor] = {}
    for turn in method.turns(phase, number):
        optimizers[turn].zero_grad(set_to_none=True)
        with autocast:
            terms: dict[str, Tensor] = module(batch, phase, turn)
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total):
            raise MienError(_diverged(method, phase, number, terms))
        torch.autograd.backward(total)
        optimizers[turn].step()
        seen |= {name: term.detach() for name, term in terms.items()}
    return seen


def _diverged(method: Method, phase: Phase, number: int, terms: Mapping[str, Tensor]) -> str:
    bad = next((name for name, term in terms.items() if not torch.isfinite(term)), "the sum")
    return (
        f"{type(method).__name__} diverged in phase {phase.name}, step {number}: its loss term {bad} is not "
        "finite; lower the learning rate in its settings."
    )
