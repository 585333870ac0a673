"""OCGAN: an auto-encoder whose whole bounded latent space is made to decode to the normal class.

Paper: Perera, Nallapati and Xiang, *OCGAN: One-class Novelty Detection Using GANs with Constrained Latent
Representations*, CVPR 2019. A latent discriminator spreads the codes of normal faces evenly over (-1, 1)^d,
a visual one makes what any point of that cube decodes to look normal, and a classifier finds the points of it
that decode worst (informative negatives), for the visual one to be trained on. An alien face then has no code
of its own and is reconstructed badly.

Differs from the paper, and where it is silent from the authors' MXNet code:
- the latent ends in tanh, as the paper requires (off by default in that code), and the latent discriminator
  in a linear layer to one logit (there 16 sigmoids are fed to a sigmoid loss);
- one step is a turn of both discriminators, one of the classifier, one of the auto-encoder; that code's loop
  resets its reader and never ends an epoch;
- mining moves each latent by the gradient of its own loss, `mining_rate` long, whatever the batch's size;
- running statistics of batch norm come from real faces and their reconstructions alone;
- a face to be scored gets no noise (`test_noise` brings it back);
- `input_px` may be 29 or 125 too, with a stage fewer or more.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss
from torch.optim import Adam, Optimizer

from mien.config import Section
from mien.methods.contract import Method, Phase
from mien.parts.augment import uniform
from mien.parts.noise import apart, normal_like
from mien.parts.pictures import resize
from mien.parts.statistics import unmoved
from mien.shards.batch import Batch

KERNEL, STRIDE = 5, 2
SLOPE = 0.2
NOISE, VISUAL, LATENT, START = 1, 2, 3, 4  # uses of a face's seed


class OCGANConfig(Section):
    """Settings of `methods.ocgan`."""

    input_px: Literal[29, 61, 125] = 61  # sides that unpadded 5x5 convolutions of stride 2 bring to 1
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    channels: int = Field(64, ge=1)  # of the first stage of encoder, decoder and classifier
    visual_channels: int = Field(12, ge=1)  # of the first stage of the visual discriminator
    latent: int = Field(16, ge=1)  # d
    noise: float = Field(0.2, ge=0)  # its spread, pixels being in -1..1
    test_noise: bool = False
    dropout: float = Field(0.5, ge=0, lt=1)
    latent_weight: float = Field(10.0, ge=0)
    visual_weight: float = Field(1.0, ge=0)
    reconstruction_weight: float = Field(10.0, ge=0)  # lambda
    mining_from_epoch: int = Field(150, ge=0)
    mining_steps: int = Field(1, ge=1)
    mining_rate: float = Field(1.0, gt=0)
    init_spread: float | None = Field(0.02, gt=0)  # of normal weights; null: torch's own
    batch_size: int = Field(512, ge=2)
    epochs: int = Field(200, ge=1)
    learning_rate: float = Field(2e-4, gt=0)
    beta_1: float = Field(0.5, ge=0, lt=1)
    keep: Literal["last", "best"] = "best"


def told_apart(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of logits (N, 1) that should all say real (1) or all say fake (0): a scalar."""
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def mined(start: Tensor, logit: Callable[[Tensor], Tensor], steps: int, rate: float) -> Tensor:
    """Informative negatives (section 3.4): latents that the classifier finds most surely fake.

    start (N, d), of which tanh is the latent; logit: latents (N, d) -> (N, 1). Each goes `steps` steps down
    its own cross-entropy to label 0. Returns the latents (N, d) in (-1, 1), cut from the graph.
    """
    u = start
    for _ in range(steps):
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            loss = told_apart(logit(u.tanh()), real=False) * len(u)
        (slope,) = torch.autograd.grad(loss, u)
        u = u - rate * slope
    return u.detach().tanh()


def sides(input_px: int) -> list[int]:
    """The sides of the encoder's maps: 61 -> 61, 29, 13, 5, 1."""
    chain = [input_px]
    while chain[-1] > 1:
        chain.append((chain[-1] - KERNEL) // STRIDE + 1)
    return chain


def narrowing(input_px: int, channels: int, outputs: int, last_bias: bool) -> nn.Sequential:
    """Convolutions from a picture to one point, (N, 3, H, H) -> (N, outputs); channels double."""
    widths = [channels * 2**stage for stage in range(len(sides(input_px)) - 2)]
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], KERNEL, STRIDE), nn.LeakyReLU(SLOPE)]
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, KERNEL, STRIDE, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.LeakyReLU(SLOPE)]
    layers += [nn.Conv2d(widths[-1], outputs, KERNEL, STRIDE, bias=last_bias), nn.Flatten()]
    return nn.Sequential(*layers)


def widening(input_px: int, channels: int, latent: int, dropout: float) -> nn.Sequential:
    """The decoder, (N, latent) -> (N, 3, H, H) in -1..1; channels halve."""
    widths = [latent, *(channels * 2**stage for stage in reversed(range(len(sides(input_px)) - 2)))]
    layers: list[nn.Module] = [nn.Unflatten(1, (latent, 1, 1))]
    for before, after in pairwise(widths):
        layers += [nn.ConvTranspose2d(before, after, KERNEL, STRIDE, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.Dropout(dropout)] if after == widths[-1] and dropout else []
        layers += [nn.ReLU()]
    layers += [nn.ConvTranspose2d(widths[-1], 3, KERNEL, STRIDE), nn.Tanh()]
    return nn.Sequential(*layers)


def latent_discriminator(latent: int) -> nn.Sequential:
    """Dense 128-64-32-16-1 with ReLU, (N, latent) -> logits (N, 1)."""
    layers: list[nn.Module] = []
    for before, after in pairwise((latent, 128, 64, 32, 16)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(16, 1))


def scatter(module: nn.Module, spread: float) -> None:
    """Convolutions from N(0, spread), without bias; batch norm's factors round 1 as widely."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=spread)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, mean=1, std=spread)


class OCGAN(Method):
    """Encoder, decoder, two discriminators and the classifier; a phase with three turns a step."""

    Config = OCGANConfig
    paper = "Perera et al., OCGAN: One-class Novelty Detection Using GANs, CVPR 2019"
    needs = frozenset({"faces"})
    scores = ("reconstruction",)
    config: OCGANConfig
    mining: Tensor  # (), bool: whether this epoch mines

    def __init__(self, config: OCGANConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        c, px = config, config.input_px
        self.input_px = px
        self.encoder = nn.Sequential(narrowing(px, c.channels, c.latent, last_bias=False), nn.Tanh())
        self.decoder = widening(px, c.channels, c.latent, c.dropout)
        self.visual = narrowing(px, c.visual_channels, 1, last_bias=True)  # D_v
        self.latent = latent_discriminator(c.latent)  # D_l
        self.classifier = narrowing(px, c.channels, 1, last_bias=True)
        self.register_buffer("mining", torch.tensor(False))
        if c.init_spread is not None:
            for module in self.modules():
                scatter(module, c.init_spread)

    def phases(self) -> Sequence[Phase]:
        """One phase; of its epochs the one that reconstructs held-out normal faces best is kept."""
        c = self.config
        return (Phase("adversarial", epochs=c.epochs, batch_size=c.batch_size, keep=c.keep),)

    def refresh(self, batches: Callable[[], Iterable[Batch]], phase: Phase, epoch: int) -> None:
        """Mining begins when the classifier has learnt."""
        self.mining.fill_(epoch >= self.config.mining_from_epoch)

    def turns(self, phase: Phase, step: int) -> Sequence[str]:
        """Discriminators, then the classifier, then the auto-encoder."""
        return ("discriminators", "classifier", "autoencoder")

    def moved_by(self, phase: Phase, turn: str) -> Iterable[nn.Parameter]:
        """The networks that the turn is named after."""
        networks = {
            "discriminators": (self.visual, self.latent),
            "classifier": (self.classifier,),
            "autoencoder": (self.encoder, self.decoder),
        }
        return [parameter for network in networks[turn] for parameter in network.parameters()]

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """Adam with a short memory of gradients."""
        c = self.config
        return Adam(self.moved_by(phase, turn), lr=c.learning_rate, betas=(c.beta_1, 0.999))

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """The losses of a turn; what it draws rests on each face's seed, so turns of a step share it."""
        clean = self._clean(batch)
        if turn == "autoencoder":
            return self._autoencoder(clean, batch.seed)
        with torch.no_grad(), unmoved(self.encoder, self.decoder):
            code = self.encoder(self._noisy(clean, batch.seed))
            drawn = self.decoder(self._cube(batch.seed, VISUAL))  # De(l2)
            if turn == "classifier":
                rebuilt = self.decoder(code)
        if turn == "classifier":
            right, wrong = self.classifier(rebuilt), self.classifier(drawn)
            return {"classifier": (told_apart(right, real=True) + told_apart(wrong, real=False)) / 2}
        right, wrong = self.visual(clean), self.visual(drawn)
        even, own = self.latent(self._cube(batch.seed, LATENT)), self.latent(code)
        return {
            "visual": (told_apart(right, real=True) + told_apart(wrong, real=False)) / 2,
            "latent": (told_apart(even, real=True) + told_apart(own, real=False)) / 2,
        }

    def _autoencoder(self, clean: Tensor, seed: Tensor) -> dict[str, Tensor]:
        c = self.config
        start = self._cube(seed, START)
        with unmoved(self.classifier, self.decoder, self.visual):
            latent = start.tanh()
            if self.mining:
                latent = mined(
                    start, lambda z: self.classifier(self.decoder(z)), c.mining_steps, c.mining_rate
                )
            convincing = self.visual(self.decoder(latent))
        code = self.encoder(self._noisy(clean, seed))
        return {
            "latent_deceived": c.latent_weight * told_apart(self.latent(code), real=True),
            "visual_deceived": c.visual_weight * told_apart(convincing, real=True),
            "reconstruction": c.reconstruction_weight * mse_loss(self.decoder(code), clean) / 2,
        }

    def validate(self, batch: Batch, phase: Phase) -> tuple[dict[str, Tensor], Tensor | None]:
        """The reconstruction's error alone: that of adversaries says little."""
        clean = self._clean(batch)
        return {"reconstruction": mse_loss(self.decoder(self.encoder(clean)), clean)}, None

    def predict(self, batch: Batch) -> Tensor:
        """Mean squared error of the reconstruction (N, 1), pixels being in -1..1."""
        clean = self._clean(batch)
        seen = self._noisy(clean, batch.seed) if self.config.test_noise else clean
        error: Tensor = self.decoder(self.encoder(seen)) - clean
        return error.float().square().mean(dim=(1, 2, 3))[:, None]

    def record(self) -> dict[str, Any]:
        """What differs between settings of one name."""
        return {"input_px": self.input_px, "latent": self.config.latent, "test_noise": self.config.test_noise}

    def _clean(self, batch: Batch) -> Tensor:
        return resize(batch.faces, self.input_px, self.config.window) / 127.5 - 1

    def _noisy(self, clean: Tensor, seed: Tensor) -> Tensor:
        return clean + self.config.noise * normal_like(clean, apart(seed, NOISE))

    def _cube(self, seed: Tensor, use: int) -> Tensor:
        """Evenly drawn from (-1, 1)^d."""
        return 2 * uniform(apart(seed, use), self.config.latent) - 1
