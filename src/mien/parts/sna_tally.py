"""What SNA counts while it trains: who is kept, how often a critic is deceived, whether flipped labels go."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from mien.parts.gathering import gathered

SUMS = (
    "steps",
    "masked_steps",  # in which no face was kept
    "divergence",
    "flipped",  # faces whose label is not the true one
    "flipped_kept",
    "wins",  # pairs of a flipped and an honest face of one batch in which Div of the flipped one is larger
    "pairs",
    "critic_steps",
    "critic_real",
    "critic_fake",
    "critic_size",  # |D|, over both kinds of pictures
    "critic_gradient",  # its norm
    "generator_steps",
    "generator_gradient",
)
REFINING = {
    "critic_steps": ("critic_real", "critic_fake", "critic_size", "critic_gradient"),
    "generator_steps": ("generator_gradient",),
}  # what is a mean over which steps

NOISES = (0.05, 0.1, 0.2, 0.3, 0.5)  # of which one is chosen, as shares of the spread of z


class Tally(nn.Module):
    """Sums over the global batches of an epoch and of the phase; buffers, so that they survive a restart."""

    of_class: Tensor  # (2, C): faces seen and kept in this epoch
    epoch: Tensor  # (len(SUMS),)
    phase: Tensor  # (len(SUMS),)

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("of_class", torch.zeros(2, classes, dtype=torch.float64))
        self.register_buffer("epoch", torch.zeros(len(SUMS), dtype=torch.float64))
        self.register_buffer("phase", torch.zeros(len(SUMS), dtype=torch.float64))

    def new_epoch(self) -> None:
        """Forget the epoch, not the phase."""
        self.of_class.zero_()
        self.epoch.zero_()

    def count(self, div: Tensor, keep: Tensor, label: Tensor, flipped: Tensor) -> None:
        """A global batch: div, keep (0 or 1), label and flipped (0 or 1), each (N,)."""
        self.of_class[0].index_add_(0, label, torch.ones_like(keep, dtype=torch.float64))
        self.of_class[1].index_add_(0, label, keep.double())
        found = {"steps": 1.0, "masked_steps": float(keep.sum() == 0), "divergence": float(div.mean())}
        wrong, right = div[flipped == 1], div[flipped == 0]
        apart = wrong[:, None] - right[None, :]
        found |= {"flipped": float(len(wrong)), "flipped_kept": float((keep * flipped).sum())}
        wins = (apart > 0).sum() + 0.5 * (apart == 0).sum()
        found |= {"wins": float(wins), "pairs": float(apart.numel())}
        self._add(found)

    def judged(self, real: Tensor, fake: Tensor) -> None:
        """What the critic said of a global batch of pictures and their reconstructions, (N,) each."""
        size = float(torch.cat([real, fake]).abs().mean())
        told = {"critic_real": float(real.mean()), "critic_fake": float(fake.mean()), "critic_size": size}
        self._add({"critic_steps": 1.0, **told})

    def pushed(self, turn: str, moved: Iterable[nn.Parameter]) -> None:
        """A turn of the refinement whose gradients lie ready; those of ranks are the same."""
        norm = float(get_total_norm([p.grad for p in moved if p.grad is not None]))
        self._add({f"{turn}_gradient": norm} | ({"generator_steps": 1.0} if turn == "generator" else {}))

    def figures(self, classes: Sequence[str]) -> dict[str, float]:
        """The epoch's, by name; only what was counted."""
        told = self._of(self.epoch)
        if told["generator_steps"]:
            return {n: told[n] / told[of] for of, names in REFINING.items() if told[of] for n in names}
        if not self.of_class.sum():
            return {}
        seen, kept = self.of_class.tolist()
        shares = {f"keep_rate_{n}": k / s for n, s, k in zip(classes, seen, kept, strict=True) if s}
        found = {"keep_rate": sum(kept) / sum(seen), **shares, "masked_steps": told["masked_steps"]}
        return found | {"divergence_in_training": told["divergence"] / told["steps"], **self.flips(told)}

    def flips(self, told: dict[str, float] | None = None) -> dict[str, float]:
        """Of the phase (or of the sums that are told), if some labels were flipped: AUC of Div within batches
        for finding them, and which share of them was kept.
        """
        told = self._of(self.phase) if told is None else told
        if not told["pairs"]:
            return {}
        kept = told["flipped_kept"] / told["flipped"]
        return {"flips_auc": told["wins"] / told["pairs"], "flips_keep_rate": kept}

    def _add(self, found: dict[str, float]) -> None:
        row = torch.tensor([found.get(name, 0.0) for name in SUMS], dtype=torch.float64)
        for sums in (self.epoch, self.phase):
            sums += row.to(sums.device)

    def _of(self, sums: Tensor) -> dict[str, float]:
        return dict(zip(SUMS, sums.tolist(), strict=True))


HELD = (
    "psnr",  # of reconstructions, dB
    "psnr_unrefined",
    "sharpness",  # of reconstructions: slope_energy
    "sharpness_unrefined",
    "sharpness_of_originals",
    "divergence",
    "divergence_without_noise",
    "neighbours_named_alike",  # share of faces whose neighbour the baseline names like the face
    *(f"named_alike_at_{noise:g}" for noise in NOISES),
)


def alike_at(noise: float) -> str:
    """The figure that tells how many held-out faces keep their class at a noise."""
    return f"validation_named_alike_at_{noise:g}"


class Held:
    """Means over the held-out faces of all ranks, of what HELD names."""

    def __init__(self) -> None:
        self._sums = torch.zeros(len(HELD), 2, dtype=torch.float64)  # sum, faces

    def hold(self, **values: Tensor) -> None:
        """Some faces of this rank: numbers (N,) by name."""
        for name, rows in values.items():
            own = torch.tensor([float(rows.double().sum()), float(len(rows))], dtype=torch.float64)
            self._sums[HELD.index(name)] += own

    def told(self, device: torch.device) -> dict[str, float]:
        """The means over all ranks, by name after `validation_`; then forgets them."""
        sums = gathered(self._sums.view(1, -1).to(device))[0].sum(dim=0).view(-1, 2).tolist()
        self._sums.zero_()
        return {f"validation_{name}": s / n for name, (s, n) in zip(HELD, sums, strict=True) if n}


def peak_ratio(x: Tensor, rebuilt: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of pictures in -1..1, (N, 1, H, W) twice -> (N,)."""
    return 10 * torch.log10(4 / (x - rebuilt).square().flatten(1).mean(dim=1).clamp_min(1e-10))


def slope_energy(x: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels, how sharp a picture is: (N, 1, H, W) -> (N,)."""
    down, across = x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]
    return down.square().flatten(1).mean(dim=1) + across.square().flatten(1).mean(dim=1)
