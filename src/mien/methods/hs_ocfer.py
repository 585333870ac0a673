"""HS-OCFER: faces of one expression, learnt by rebuilding them, by landmarks and round a trainable centre.

Paper: Luo et al., *Learning Deep Hierarchical Features with Spatial Regularization for One-Class Facial
Expression Recognition*, AAAI 2023. It claims a mean AUC of 71.37 % on CFEE and 58.17 % on ExpW, 6.55 and 3.12
points above the best of ten rivals. Its switches give the rows of Table 4: `hierarchy` (bottleneck modules on
the levels of the auto-encoder), `spatial` (landmarks regressed from the decisive features) and `compact`
(these drawn to a trainable centre). `score_rule` gives Table 5.

Differs from the paper, which prints no layer shapes, weights or fusion formula: convolutions 4x4, stride 2,
light enough for its 8 GB card; lambda = gamma = 1 on means over elements; score (1 - alpha) D + alpha E on
such means; the centre starts at the mean untrained feature, away from 0; the prototype is the mean trained
one; an epoch's incomplete last batch is left out. With `compact` off the headline is reconstruction.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import ExponentialLR

from mien.config import MienError, Section
from mien.methods.contract import Method, Phase, Schedule
from mien.parts.centre import away_from_zero
from mien.parts.landmark_sets import LandmarkCount, choose
from mien.parts.pictures import contrast_normalise, resize
from mien.shards.batch import Batch

RANGE, CENTRE, TRAINING, PROTOTYPE = "range", "centre", "training", "prototype"
FLAT = 1e-3  # of pixels in 0..255: contrast below it is rounding
DEAD = 1e-3  # a feature that spreads less over the training faces says nothing
SCALES = (0.02, 50.0)  # within: spread of alpha E to spread of (1 - alpha) D
Reduction = Literal["mean", "sum"]


class HSOCFERConfig(Section):
    """Settings of `methods.hs_ocfer`."""

    hierarchy: bool = True
    spatial: bool = True  # needs hierarchy
    compact: bool = True
    input_px: int = Field(224, ge=8)
    colour: Literal["rgb", "grey"] = "rgb"
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    minmax: bool = False  # after contrast normalisation to 0..1 of the class; the decoder ends in a sigmoid
    channels: list[int] = Field([32, 64, 128, 256, 256], min_length=2)  # of the stages, each half the side
    z0_dim: int = Field(128, ge=1)
    hbm_levels: list[int] | None = None  # stages with a bottleneck module, 1-based; null: all but the last
    hbm_reduction: int = Field(2, ge=1)  # channels are divided by it
    hbm_pool: int = Field(1, ge=1)  # side of the grid that maxima are taken on; 1: of the whole map
    feature_norm: bool = False  # batch norm without weights on the decisive features, against collapse
    num_landmarks: LandmarkCount = 68
    lambda_reg: float = Field(1.0, ge=0)
    gamma_compact: float = Field(1.0, ge=0)
    reduction: Reduction = "mean"  # over the elements of a face
    mu_init: Literal["train_mean", "normal"] = "train_mean"
    mu_trainable: bool = True
    prototype: Literal["train_mean", "mu"] = "train_mean"
    score_rule: Literal["fusion", "reconstruction", "compactness"] = "fusion"
    alpha: float = Field(0.01, ge=0, le=1)  # 0.01 on CFEE and KDEF, 0.005 on ExpW and RAF-DB
    fusion_units: Literal["mean", "sum", "train_norm"] = "mean"
    batch_size: int = Field(128, ge=2)
    epochs: int = Field(200, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    decay: float = Field(0.99, gt=0, le=1)  # of the learning rate, an epoch
    weight_decay: float = Field(0.0, ge=0)  # never of the centre

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        stages, levels = len(self.channels), self.levels
        if self.spatial and not self.hierarchy:
            raise ValueError("spatial needs hierarchy")
        if self.prototype == "mu" and not self.compact:
            raise ValueError("prototype: mu needs compact")
        if self.input_px % 2**stages:
            raise ValueError(f"input_px must be a multiple of {2**stages}: {stages} stages halve it")
        if levels != sorted(set(levels)) or not all(1 <= level < stages for level in levels):
            raise ValueError(f"hbm_levels must rise within 1..{stages - 1}")
        if self.hierarchy and self.input_px // 2 ** max(levels, default=0) < self.hbm_pool:
            raise ValueError("hbm_pool is larger than the smallest map with a module")
        return self

    @property
    def levels(self) -> list[int]:
        """Stages that a bottleneck module may sit on, whether or not `hierarchy` is on."""
        return list(range(1, len(self.channels))) if self.hbm_levels is None else self.hbm_levels


def per_face(error: Tensor, reduction: Reduction) -> Tensor:
    """Squared error of each face: (N, ...) -> (N,), its mean or sum over elements."""
    squared = error.square().flatten(1)
    return squared.mean(dim=1) if reduction == "mean" else squared.sum(dim=1)


def spatial_regularisation(predicted: Tensor, landmarks: Tensor, reduction: Reduction) -> Tensor:
    """Squared distance of regressed to given landmarks (paper eq. 2), a mean over faces.

    predicted and landmarks (N, 2K) -> scalar. A coordinate that is not finite is left out, its face is not.
    """
    known = landmarks.isfinite()
    squared = torch.where(known, predicted - landmarks.nan_to_num(posinf=0, neginf=0), 0).square().sum(dim=1)
    return (squared / known.sum(dim=1).clamp(min=1) if reduction == "mean" else squared).mean()


def fusion(distance: Tensor, error: Tensor, alpha: float) -> Tensor:
    """The alien score (1 - alpha) D + alpha E of each face (paper, Inference)."""
    return (1 - alpha) * distance + alpha * error


def down(inputs: int, outputs: int) -> nn.Sequential:
    """E_i: half the side."""
    conv = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2))


def up(inputs: int, outputs: int) -> nn.Sequential:
    """D_i but the last: twice the side."""
    conv = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class BottleneckModule(nn.Module):
    """A hierarchical bottleneck module: phi = ReLU(Conv1 x), z = max(Conv2 phi), x' = Conv3 phi."""

    def __init__(self, channels: int, reduction: int, pool: int) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.conv1 = nn.Conv2d(channels, inner, 3, padding=1)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)  # a bias alone could reach the centre
        self.conv3 = nn.Conv2d(inner, channels, 3, padding=1)
        self.pool, self.size = pool, inner * pool**2

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, C, H, W) -> z (N, size) and x', shaped as x."""
        phi = self.conv1(x).relu()
        return adaptive_max_pool2d(self.conv2(phi), self.pool).flatten(1), self.conv3(phi)


class Network(nn.Module):
    """The auto-encoder with its modules: decisive features z_d = (z0, z1, ...) and the rebuilt picture."""

    def __init__(self, config: HSOCFERConfig) -> None:
        super().__init__()
        widths = [3 if config.colour == "rgb" else 1, *config.channels]
        ways = list(pairwise(widths))
        side = config.input_px >> len(ways)
        self.shape = (widths[-1], side, side)
        self.encoder = nn.ModuleList(down(a, b) for a, b in ways)  # E1, E2, ...
        self.squeeze = nn.Linear(widths[-1] * side**2, config.z0_dim, bias=False)
        self.stretch = nn.Linear(config.z0_dim, widths[-1] * side**2)
        last = nn.ConvTranspose2d(widths[1], widths[0], 4, stride=2, padding=1)
        self.decoder = nn.ModuleList([last, *(up(b, a) for a, b in ways[1:])])  # D1, D2, ...
        self.levels = config.levels if config.hierarchy else []
        modules = [BottleneckModule(widths[i], config.hbm_reduction, config.hbm_pool) for i in self.levels]
        self.bottlenecks = nn.ModuleList(modules)
        self.sizes = [config.z0_dim, *(module.size for module in modules)]  # of z0, z1, ...
        self.norm = nn.BatchNorm1d(sum(self.sizes), affine=False) if config.feature_norm else nn.Identity()
        self.output = nn.Sigmoid() if config.minmax else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, C, H, W) -> z_d (N, D) and the rebuilt x, shaped as x."""
        maps = [x]
        for stage in self.encoder:
            maps.append(stage(maps[-1]))
        z0 = self.squeeze(maps[-1].flatten(1))
        found = {i: module(maps[i]) for i, module in zip(self.levels, self.bottlenecks, strict=True)}
        out = self.stretch(z0).view(-1, *self.shape)
        for i, stage in reversed(list(enumerate(self.decoder, start=1))):
            if i in found:
                out = out + found[i][1]  # element-wise sum of the level below and x'_i
            out = stage(out)
        z_d = torch.cat([z0, *(found[i][0] for i in self.levels)], dim=1)
        return self.norm(z_d), self.output(out)


class HSOCFER(Method):
    """Range (with `minmax`) and first centre are solved, the net is trained, the prototype is solved."""

    Config = HSOCFERConfig
    paper = "Luo et al., Learning Deep Hierarchical Features ... for One-Class FER (HS-OCFER), AAAI 2023"
    needs = frozenset({"faces", "label", "points"})
    scores: tuple[str, ...] = ("fusion", "reconstruction", "compactness")
    variants = {  # noqa: RUF012 - the contract makes it a class variable
        "plain auto-encoder": {"hierarchy": False, "spatial": False, "compact": False},
        "hierarchy": {"spatial": False, "compact": False},
        "compact": {"hierarchy": False, "spatial": False},
        "hierarchy + spatial": {"compact": False},
        "hierarchy + compact": {"spatial": False},
        "hierarchy + spatial + compact": {},
    }  # the rows of Table 4
    config: HSOCFERConfig
    center: Tensor  # (D,) the prestored c of the score
    spread: Tensor  # (D,) of the features over the training faces
    typical: Tensor  # (4,) over the training faces: means of E and D, then their spreads
    landmark_error: Tensor  # root mean square over the training faces, in sides of the crop
    extent: Tensor  # (2,) least and largest value after contrast normalisation, with minmax

    def __init__(self, config: HSOCFERConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.headline = config.score_rule if config.compact else "reconstruction"
        self.scores = tuple(sorted(type(self).scores, key=lambda name: name != self.headline))
        if not config.spatial:
            self.needs = frozenset({"faces", "label"})
        self.network = Network(config)
        self.heat_layers = tuple(f"network.encoder.{len(config.channels) - i}" for i in (1, 2))
        size = sum(self.network.sizes)
        self.head = nn.Linear(size, 2 * config.num_landmarks) if config.spatial else None
        self.mu = nn.Parameter(away_from_zero(torch.randn(size))) if config.compact else None
        self.register_buffer("center", torch.zeros(size))
        self.register_buffer("spread", torch.zeros(size))
        self.register_buffer("typical", torch.ones(4))
        self.register_buffer("landmark_error", torch.zeros(()))
        self.register_buffer("extent", torch.tensor([0.0, 1.0]))

    def phases(self) -> Sequence[Phase]:
        """The range of pixels and the centre where asked for, the training, the prototype."""
        c = self.config
        phases = [Phase(RANGE, epochs=1, batch_size=1, fits=True)] if c.minmax else []
        if c.compact and c.mu_init == "train_mean":
            phases.append(Phase(CENTRE, epochs=1, batch_size=1, fits=True))
        phases.append(Phase(TRAINING, c.epochs, c.batch_size))
        return (*phases, Phase(PROTOTYPE, epochs=1, batch_size=1, fits=True))

    def moved_by(self, phase: Phase, turn: str) -> Iterable[nn.Parameter]:
        """All but a fixed centre, and but Conv2 of the modules where no loss reads their features."""
        c = self.config
        still = set() if c.mu_trainable else {"mu"}
        if not (c.spatial or c.compact):
            still |= {f"network.bottlenecks.{i}.conv2.weight" for i in range(len(self.network.bottlenecks))}
        return (parameter for name, parameter in self.named_parameters() if name not in still)

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """Adam; the centre does not decay."""
        c, moved = self.config, list(self.moved_by(phase, turn))
        groups = [{"params": [p for p in moved if p is not self.mu], "weight_decay": c.weight_decay}]
        if any(p is self.mu for p in moved):
            groups.append({"params": [self.mu], "weight_decay": 0.0})
        return Adam(groups, lr=c.learning_rate)

    def schedule(self, phase: Phase, turn: str, optimizer: Optimizer) -> Schedule | None:
        """Exponential, an epoch a step."""
        return ExponentialLR(optimizer, gamma=self.config.decay)

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Eq. 1, and where they are on lambda times eq. 2 and gamma times eq. 3."""
        c, pixels = self.config, self._pixels(batch)
        features, rebuilt = self.network(pixels)
        terms = {"reconstruction": per_face(rebuilt - pixels, c.reduction).mean()}
        if self.head is not None:
            regressed, given = self.head(features), self._landmarks(batch)
            terms["landmarks"] = c.lambda_reg * spatial_regularisation(regressed, given, c.reduction)
        if self.mu is not None:
            terms["compactness"] = c.gamma_compact * per_face(features - self.mu, c.reduction).mean()
        return terms

    @torch.no_grad()
    def fit(self, batches: Iterable[Batch], phase: Phase) -> None:
        """The range of the pixels, the first centre, or the prototype and what the record tells."""
        if phase.name == RANGE:
            seen = torch.stack([torch.stack(self._contrast(b).aminmax()) for b in batches])
            self.extent.copy_(torch.stack([seen[:, 0].min(), seen[:, 1].max()]))
        elif phase.name == CENTRE:
            assert self.mu is not None
            features = torch.cat([self.network(self._pixels(batch))[0] for batch in batches])
            self.mu.copy_(away_from_zero(features.double().mean(dim=0)))
        else:
            self._fit_prototype(batches)

    def predict(self, batch: Batch) -> Tensor:
        """Alien scores (N, 3): fusion, reconstruction error and distance to the prototype, headline first."""
        pixels = self._pixels(batch)
        features, rebuilt = self.network(pixels)
        how: Reduction = "sum" if self.config.fusion_units == "sum" else "mean"
        error = per_face((rebuilt - pixels).float(), how)
        distance = per_face((features - self.center).float(), how)
        if self.config.fusion_units == "train_norm":
            error, distance = (v / t for v, t in zip((error, distance), self.typical[:2], strict=True))
        found = {"reconstruction": error, "compactness": distance}
        found["fusion"] = fusion(distance, error, self.config.alpha)
        return torch.stack([found[name] for name in self.scores], dim=1)

    def record(self) -> dict[str, Any]:
        """The headline score, what may have collapsed, how far the centre lies from the prototype."""
        facts: dict[str, Any] = {"score_rule": self.headline, "features": len(self.center)}
        parts = torch.split(self.spread, self.network.sizes)
        names = ["z0", *(f"z{i}" for i in self.network.levels)]
        dead = {name: int((part < DEAD).sum()) for name, part in zip(names, parts, strict=True)}
        facts["dead_features"] = sum(dead.values())
        facts["spread_of_features"] = float(self.spread.mean())
        warnings = [f"collapse: {count} dead features in {name}" for name, count in dead.items() if count]
        if self.head is not None:
            facts["landmarks"] = self.config.num_landmarks
            facts["landmark_error_sides"] = float(self.landmark_error)
        if self.mu is not None:
            gap = (self.center - self.mu.detach()).norm() / self.center.norm().clamp(min=1e-12)
            facts["centre_to_prototype"] = float(gap)
            scale = facts["fusion_scale"] = self._fusion_scale()
            if self.headline == "fusion" and not SCALES[0] <= scale <= SCALES[1]:
                lost = "reconstruction" if scale < SCALES[0] else "compactness"
                warnings.append(f"scale: {lost} hardly counts in the fusion ({scale:.3g})")
        return facts | {"warnings": warnings}

    def _fusion_scale(self) -> float:
        """Spread of alpha E over the spread of (1 - alpha) D, on the training faces."""
        error, distance = self.typical[2:].tolist()
        if self.config.fusion_units == "train_norm":
            error, distance = error / float(self.typical[0]), distance / float(self.typical[1])
        return float(self.config.alpha * error / max((1 - self.config.alpha) * distance, 1e-12))

    def _fit_prototype(self, batches: Iterable[Batch]) -> None:
        how: Reduction = "sum" if self.config.fusion_units == "sum" else "mean"
        features, errors, missed, known = [], [], 0.0, 0
        for batch in batches:
            pixels = self._pixels(batch)
            z, rebuilt = self.network(pixels)
            features.append(z.double())
            errors.append(per_face(rebuilt - pixels, how).double())
            if self.head is not None:
                off = (self.head(z) - self._landmarks(batch)).square()
                missed, known = missed + float(off.nansum()), known + int(off.isfinite().sum())
        seen, error = torch.cat(features), torch.cat(errors)
        fixed = self.mu if self.config.prototype == "mu" else None
        self.center.copy_(seen.mean(dim=0) if fixed is None else fixed)
        distance = per_face(seen - self.center, how)
        self.spread.copy_(seen.std(dim=0, correction=0))
        means = [value.mean().clamp(min=1e-12) for value in (error, distance)]
        self.typical.copy_(torch.stack([*means, error.std(correction=0), distance.std(correction=0)]))
        self.landmark_error.fill_((missed / max(known, 1)) ** 0.5)

    def _contrast(self, batch: Batch) -> Tensor:
        pixels = resize(batch.faces, self.config.input_px, self.config.window)
        if self.config.colour == "grey":
            pixels = pixels.mean(dim=1, keepdim=True)
        return contrast_normalise(pixels, FLAT)

    def _pixels(self, batch: Batch) -> Tensor:
        low, high = self.extent[0], self.extent[1]
        return (self._contrast(batch) - low) / (high - low).clamp(min=1e-12)

    def _landmarks(self, batch: Batch) -> Tensor:
        """The chosen landmarks in sides of the crop, flat: (N, 2K)."""
        if batch.points is None:
            raise MienError("hs_ocfer: spatial needs 68 points a face, and this corpus has none.")
        side = torch.tensor(batch.faces.shape[:-3:-1], device=batch.points.device)  # width, height
        return (choose(batch.points, self.config.num_landmarks) / side).flatten(1)
