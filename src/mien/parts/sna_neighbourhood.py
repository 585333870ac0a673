"""SNA's semantic neighbourhoods: how the auto-encoder is trained, refined, and asked for neighbours.

Paper: Fu et al., *Semantic Neighborhood-Aware Deep Facial Expression Recognition*, TIP 2020, section III-B.
The noise is not given: here it is a share of each dimension's spread of z over training faces, if the
settings name none the largest of NOISES at which the frozen baseline keeps its answer for ALIKE of the faces
held out.
Only the decoder is refined, unless `encoder_learns`, and the encoder stands in evaluation mode meanwhile.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import SGD, Optimizer, RMSprop
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau, StepLR

from mien.parts.muon import Muon
from mien.parts.noise import apart, normal
from mien.parts.schedule import schedule
from mien.parts.sna_autoencoder import (
    AutoEncoding,
    Critic,
    Decoder,
    Encoder,
    Refinement,
    autoencoding,
    unbend,
)
from mien.parts.sna_classifier import Classification, TwoScale
from mien.parts.sna_tally import NOISES, alike_at, peak_ratio, slope_energy
from mien.parts.statistics import hold, unmoved
from mien.parts.weights import load_weights

CRITIC, GENERATOR = "critic", "generator"
LATENT = 1  # use of a face's seed
ALIKE = 0.95

Perceived = Callable[[Tensor], Sequence[Tensor]]
"""Maps of a frozen classifier, by which pictures are compared."""


class Neighbourhood(nn.Module):
    """E and G; from the refinement on also what they were before, and while it lasts the critic."""

    spread: Tensor  # (code,): of z over the training part
    autoencoder_weight: Tensor  # (): lambda_AE of this epoch
    noise: Tensor  # (): s, its share of the spread

    def __init__(
        self,
        side: int,
        width: float,
        dropout: float,
        code: int = 64,
        noise: float | None = None,
        unbent: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(side, width, dropout, code), Decoder(side, width, code)
        self._start_near_linear()
        if unbent:
            unbend(self.encoder, self.decoder)
        self.unrefined: nn.ModuleList | None = None  # E and G
        self.critic: Critic | None = None
        self._critic = (side, width)
        self.register_buffer("spread", torch.ones(code))
        self.register_buffer("autoencoder_weight", torch.ones(()))
        self._noise = noise  # of the settings
        self.register_buffer("noise", torch.tensor(NOISES[0] if noise is None else noise))

    @torch.no_grad()
    def _start_near_linear(self) -> None:
        """Let the code hold its features from the start: an orthogonal map, undone by its transpose."""
        nn.init.orthogonal_(self.encoder.code.weight)
        self.decoder.spread.weight.copy_(self.encoder.code.weight.T)
        nn.init.zeros_(self.encoder.code.bias)
        nn.init.zeros_(self.decoder.spread.bias)

    def keep_unrefined(self) -> None:
        """Set copies of E and G aside as they are."""
        self.unrefined = nn.ModuleList([copy.deepcopy(self.encoder), copy.deepcopy(self.decoder)])

    def take_over(self, file: str, key: str, refined: bool) -> "Neighbourhood":
        """Itself, with E and G from a model that mien saved; not refined: as they were before."""
        if refined or holds(file, "neighbourhood.unrefined"):
            self.keep_unrefined()
        load_weights(self, file, key, within="neighbourhood")
        if self._noise is not None:
            self.noise.fill_(self._noise)
        if not refined and self.unrefined is not None:
            for network, before in zip((self.encoder, self.decoder), self.unrefined, strict=True):
                network.load_state_dict(before.state_dict())
            self.unrefined = None
        return self

    def begin_refinement(self) -> None:
        """Set the decoder aside and invite the critic, its weights in bounds from the start."""
        self.keep_unrefined()
        self.critic = Critic(*self._critic)
        self.critic.clip()

    def stand(self, how: AutoEncoding, refining: bool, epoch: int) -> None:
        """What of it stays in evaluation mode in an epoch: the refined encoder, settled batch norm."""
        if refining:
            self.encoder.eval()
        if how.settled_epoch is not None and (refining or epoch >= how.settled_epoch):
            hold(self)

    def refined_by(self, turn: str, how: Refinement) -> list[nn.Parameter]:
        """The parameters that a turn of the refinement moves."""
        assert self.critic is not None
        if turn == CRITIC:
            return self.critic.moved()
        return [*self.decoder.parameters(), *(self.encoder.parameters() if how.encoder_learns else ())]

    def optimizer(self, turn: str, how: Refinement) -> Optimizer:
        """RMSprop without momentum, or Muon for the generator; the critic's weights are clipped each time."""
        critic = self.critic
        assert critic is not None
        if turn == GENERATOR and how.optimizer == "muon":
            return Muon(self.refined_by(turn, how), how.learning_rate)
        if turn == GENERATOR:
            return RMSprop(self.refined_by(turn, how), how.learning_rate)
        optimizer = RMSprop(self.refined_by(turn, how), how.critic_rate)
        optimizer.register_step_post_hook(lambda *_: critic.clip())
        return optimizer

    def weigh(self, how: Refinement, epoch: int) -> None:
        """Set lambda_AE, a tenth from time to time."""
        self.autoencoder_weight.fill_(how.autoencoder_weight * 0.1 ** (epoch // how.decay_epochs))

    def survey(self, pictures: Iterable[Tensor]) -> None:
        """Measure the spread of z over pictures (N, 1, H, H) at a time."""
        self.spread.copy_(torch.cat([self.encoder(x)[0] for x in pictures]).std(dim=0))

    def kept_classes(self, x: Tensor, seed: Tensor, baseline: TwoScale) -> dict[str, Tensor]:
        """By noise, 1 for faces whose neighbour the baseline names like the face, else 0, (N,) each."""
        return {f"named_alike_at_{s:g}": baseline.agrees(x, self(x, seed, s)) for s in NOISES}

    def settle(self, found: Mapping[str, float]) -> None:
        """Choose the noise by shares of held-out faces that the baseline names as before (`alike_at`)."""
        shares = {noise: found[name] for noise in NOISES if (name := alike_at(noise)) in found}
        if shares:
            fit = [noise for noise, share in shares.items() if share >= ALIKE]
            self.noise.fill_(max(fit, default=min(shares)))

    def forward(self, x: Tensor, seed: Tensor, noise: float | None = None) -> Tensor:
        """I_tr = G(E(I) + n), n drawn by each face's own seed: (N, 1, H, H), (N,) -> (N, 1, H, H).

        noise: s, if not the one in force.
        """
        step = (
            (self.noise if noise is None else noise)
            * self.spread
            * normal(apart(seed, LATENT), len(self.spread))
        )
        picture: Tensor = self.decoder(self.encoder(x)[0] + step)[0]
        return picture.float()

    def rebuilt(self, x: Tensor, refined: bool = True) -> Tensor:
        """G(E(I)), by the networks as they are or as they were before their refinement."""
        encoder, decoder = self.unrefined if self.unrefined and not refined else (self.encoder, self.decoder)
        picture: Tensor = decoder(encoder(x)[0])[0]
        return picture.float()

    def autoencoding(self, x: Tensor, how: AutoEncoding) -> Tensor:
        """Loss_AE of the denoising auto-encoder: features of clean pictures against the corrupted pass."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and how.targets_learn):
            clean = self.encoder(x)[1]  # z_l; running statistics are those of clean pictures
        with unmoved(self.encoder):
            code = self.encoder(x, corrupted=True)[0]
        rebuilt, answers = self.decoder(code)
        return autoencoding(x, rebuilt, clean, answers, how.picture_weight)

    def judged(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the critic says of pictures and of their reconstructions, (N,) each."""
        assert self.critic is not None
        with torch.no_grad(), unmoved(self.decoder):
            fake = self.decoder(self.encoder(x)[0])[0]
        return self.critic(x), self.critic(fake)

    def deceiving(
        self, x: Tensor, perceived: Perceived, how: Refinement, picture_weight: float
    ) -> dict[str, Tensor]:
        """L_G: lambda_AE Loss_AE, lambda_adv L_adv, and Loss_Rec in its two parts."""
        assert self.critic is not None
        with torch.no_grad():
            wanted = perceived(x)
        with torch.set_grad_enabled(torch.is_grad_enabled() and how.encoder_learns):
            code, maps = self.encoder(x)
        rebuilt, answers = self.decoder(code)
        weights = how.perceptual_weights * (len(wanted) // len(how.perceptual_weights))
        seen = zip(weights, wanted, perceived(rebuilt), strict=True)
        alike = [weight * mse_loss(own.float(), aim.float()) for weight, aim, own in seen]
        return {
            "autoencoding": self.autoencoder_weight
            * autoencoding(x, rebuilt, [m.detach() for m in maps], answers, picture_weight),
            "deceived": -how.adversarial_weight * self.critic(rebuilt).mean(),
            "pixels": how.pixel_weight * mse_loss(rebuilt.float(), x),
            "perceptual": torch.stack(alike).sum(),
        }

    def likeness(self, x: Tensor) -> dict[str, Tensor]:
        """How near and how sharp reconstructions are, (N,) each; once refined, also before that."""
        rebuilt = self.rebuilt(x)
        found = {"psnr": peak_ratio(x, rebuilt)}
        if self.unrefined is not None:
            plain = self.rebuilt(x, refined=False)
            found |= {"psnr_unrefined": peak_ratio(x, plain), "sharpness": slope_energy(rebuilt)}
            found |= {"sharpness_unrefined": slope_energy(plain), "sharpness_of_originals": slope_energy(x)}
        return found


def stepping(moved: Iterable[nn.Parameter], how: Classification | AutoEncoding) -> Optimizer:
    """SGD at the rates of a phase; Muon, without decay of weights, where the auto-encoder is to have it."""
    if isinstance(how, AutoEncoding) and how.optimizer == "muon":
        return Muon(moved, how.learning_rate)
    return SGD(moved, how.learning_rate, how.momentum, weight_decay=how.weight_decay)


def falling(
    optimizer: Optimizer, how: Classification | AutoEncoding | Refinement, epochs: int
) -> LRScheduler | ReduceLROnPlateau | None:
    """A phase's rate: a tenth every few epochs, half a cosine, or the same throughout."""
    if isinstance(how, Refinement):
        return schedule(how.schedule, optimizer, epochs)
    if isinstance(how, AutoEncoding) and how.schedule == "cosine":
        return schedule("cosine", optimizer, epochs)
    return StepLR(optimizer, how.decay_epochs, gamma=0.1)


def holds(file: str, part: str) -> bool:
    """Whether a .safetensors file has tensors whose names begin with `part` and a dot."""
    with safe_open(file, "pt") as held:
        return any(name.startswith(f"{part}.") for name in held.keys())  # noqa: SIM118 - it is no mapping


def set_aside(state: dict[str, Any], name: str, make: Callable[[], nn.Module]) -> nn.Module | None:
    """Take a network out of a state dict, where its names begin with `name` and a dot; None: it has none."""
    own = {key: state.pop(key) for key in list(state) if key.startswith(f"{name}.")}
    if not own:
        return None
    network = make()
    if isinstance(network, Neighbourhood) and any(".unrefined." in key for key in own):
        network.keep_unrefined()
    network.load_state_dict({key.removeprefix(f"{name}."): value for key, value in own.items()})
    return network
