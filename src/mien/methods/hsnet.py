"""HSNet: three scales of expression cues: dilated kernels, network levels, face-recognition knowledge.

Paper: Fan et al., *HSNet: hierarchical scale network for facial expression recognition with knowledge
transfer*, Cognitive Neurodynamics 2022. It claims 99.88 % on RaFD, 93.35 % on KDEF, 99.35 % on FERG-DB and
86.67 % (76.89 % mean) on RAF-DB. Its three switches: `dib` dilated Inception blocks (off: the body of
Inception-ResNet-V1), `fgal` feature guided auxiliary learning (off: pooling and one classifier), `ktl`
knowledge transfer (off: He's initialisation, all trained).

Differs from the paper, where it is silent or contradicts itself: the branch widths inside the blocks (their
sums are the paper's); Table 1's misprints in stem and strides are mended by the equations; pictures are
normalised as the VGGFace2 weights want it; batch norm of the frozen stem stays in evaluation mode; plateau
factor 0.1, no weight decay. After He's initialisation the levels shut each other off in the first steps, so
classifiers and self-weights start near 0 and may learn slower (`head_rate`). Where the weight file cannot be
had, a phase before learns the stem by telling people apart (`stem_from: corpus`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, relu
from torch.optim import Adam, Optimizer

from mien.config import Section
from mien.methods.contract import Method, Phase, Schedule
from mien.parts.augment import Augmentation, augment
from mien.parts.inception_resnet import Body, ConvBN, Recognition, Stem, he, scaled
from mien.parts.pictures import Light, normalise, quick, resize
from mien.parts.schedule import ScheduleName, schedule
from mien.parts.weights import load_weights
from mien.shards.batch import Batch

MIN_INPUT_PX = 75  # below, the third level has no pixel left
TRANSFER, CLASSIFICATION = "knowledge_transfer", "classification"


class KnowledgeTransfer(Section):
    """The phase that learns the stem by telling people apart."""

    corpus: str | None = None  # None: the experiment's own, its training people only
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    blocks: list[int] = Field([5, 10, 5], min_length=3, max_length=3)  # of the body on top, as below
    augmentation: Augmentation = Augmentation()


class HSNetConfig(Section):
    """Settings of `methods.hsnet`; the defaults are the paper's."""

    dib: bool = True
    fgal: bool = True
    ktl: bool = True
    stem_from: Literal["file", "corpus", "random"] = "file"  # with ktl: where its knowledge comes from
    # .pt or .safetensors, facenet-pytorch's layer names
    stem_file: str = "weights/20180402-114759-vggface2.pt"
    knowledge_transfer: KnowledgeTransfer = KnowledgeTransfer()  # with stem_from: corpus
    width: float = Field(1.0, gt=0, le=4)  # of every layer
    blocks: list[int] = Field([5, 10, 5], min_length=3, max_length=3)  # with dib off
    input_px: int = Field(224, ge=MIN_INPUT_PX)
    window: float = Field(1.0, gt=0.2, le=1)  # share of the crop's side that it looks at
    light: Light = "kept"  # evened: grey faces of one brightness and contrast
    batch_size: int = Field(32, ge=2)
    epochs: int = Field(500, ge=1)
    learning_rate: float = Field(1e-2, gt=0)  # 1e-3 where it diverges
    head_rate: float = Field(1.0, gt=0, le=1)  # of the learning rate, for classifiers and self-weights
    adam_betas: list[float] = Field([0.9, 0.999], min_length=2, max_length=2)
    weight_decay: float = Field(0.0, ge=0)
    schedule: ScheduleName = "plateau"
    plateau_patience_epochs: int = Field(20, ge=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    keep: Literal["last", "best"] = "best"
    augmentation: Augmentation = Augmentation()


@dataclass(frozen=True)
class Levels:
    """What the levels A, B, C say, finest first; one level only without FGAL."""

    logits: Tensor  # (N, C): eq. 17, the sum of the weighted level logits
    weights: Tensor  # (N, L): lambda, each in (0, 1); they are no shares of 1
    level_logits: Tensor  # (N, L, C)


def dilated(inputs: int, reduced: int, outputs: int, dilation: int, stride: int) -> nn.Sequential:
    """A branch of a block: 1x1 to `reduced`, then a dilated 3x3 (eq. 4, 7).

    Stride 2 gives floor((side - 1) / 2) at any dilation; stride 1 keeps the side and has no ReLU at its end.
    """
    padding = dilation - 1 if stride == 2 else dilation
    last = ConvBN(reduced, outputs, 3, stride, padding, dilation, relu=stride == 2)
    return nn.Sequential(ConvBN(inputs, reduced, 1), last)


class SDIB(nn.Module):
    """Stride-2 dilated Inception block: branches of dilation 1, 2, ... and a pooled one (eq. 6)."""

    def __init__(self, inputs: int, reduced: int, outputs: Sequence[int], pooled: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            dilated(inputs, reduced, n, dilation, stride=2) for dilation, n in enumerate(outputs, start=1)
        )
        self.branches.append(nn.Sequential(nn.MaxPool2d(3, stride=2), ConvBN(inputs, pooled, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, sum of widths, (H-1)//2, (W-1)//2)."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class RDIB(nn.Module):
    """Residual dilated Inception block: relu(x + branches), so their widths sum to x's (eq. 10)."""

    def __init__(self, channels: int, reduced: int, outputs: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            dilated(channels, reduced, n, dilation, stride=1) for dilation, n in enumerate(outputs, start=1)
        )
        self.branches.append(ConvBN(channels, channels - sum(outputs), 1, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        return relu(x + torch.cat([branch(x) for branch in self.branches], dim=1))


class DilatedTrunk(nn.Module):
    """All behind the stem: RDIB-A, SDIB-A, RDIB-B, SDIB-B, RDIB-C; levels A, B, C tapped (Table 1)."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        n = {c: scaled(c, width) for c in (32, 96, 128, 192, 224, 256, 384)}
        a = n[256]
        b, c = n[384] + n[256] + a, n[384] + 2 * n[256] + n[384] + n[256] + a
        self.channels = (a, b, c)
        self.rdib_a = RDIB(a, n[32], [n[96], n[96]])
        self.sdib_a = SDIB(a, n[192], [n[384], n[256]], pooled=a)
        self.rdib_b = RDIB(b, n[128], [n[224]] * 3)
        self.sdib_b = SDIB(b, n[256], [n[384], n[256], n[256]], pooled=b)
        self.rdib_c = RDIB(c, n[192], [c // 2])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 256, h, w) at width 1 -> maps of levels A, B, C; each has half the side of the one before."""
        a = self.rdib_a(x)
        b = self.rdib_b(self.sdib_a(a))
        c = self.rdib_c(self.sdib_b(b))
        return a, b, c


class GuidedLevels(nn.Module):
    """FGAL: coarse maps guide finer ones, and each level weighs its own classifier (eq. 11-17)."""

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        a, b, c = channels
        self.top = nn.Conv2d(c, c, 1)
        self.to_b = nn.Conv2d(c, b, 1)
        self.to_a = nn.Conv2d(b, a, 1)
        self.weigh = nn.ModuleList(nn.Linear(n, 1) for n in channels)  # w1, b1
        self.classify = nn.ModuleList(nn.Linear(n, classes) for n in channels)  # W_C, b_C

    def calm(self) -> None:
        """Start every level at weight 1/2 and with nearly no opinion.

        He's initialisation makes the first losses so large that the steepest way down shuts every level:
        within five steps of Adam each lambda is 0, no gradient comes through, and all stays at chance (seen).
        """
        for name, parameter in self.named_parameters():
            if name.startswith("weigh."):
                nn.init.zeros_(parameter)
            elif name.startswith("classify."):
                nn.init.normal_(parameter, std=0.01)

    def forward(self, a: Tensor, b: Tensor, c: Tensor) -> Levels:
        """Maps of the three levels -> what each says, and their weighted sum."""
        c = self.top(c)  # eq. 11
        b = b + enlarge(self.to_b(c), b)  # eq. 12
        a = a + enlarge(self.to_a(b), a)  # eq. 13
        pooled = [level.mean(dim=(2, 3)) for level in (a, b, c)]  # psi
        each = [w(p) for w, p in zip(self.weigh, pooled, strict=True)]
        weights = torch.cat(each, dim=1).sigmoid()  # eq. 14
        logits = torch.stack([f(p) for f, p in zip(self.classify, pooled, strict=True)], dim=1)  # eq. 15
        return Levels((weights[:, :, None] * logits).sum(dim=1), weights, logits)  # eq. 16, 17


class LastLevel(nn.Module):
    """Without FGAL: the coarsest map, pooled and classified."""

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(channels[-1], classes)

    def forward(self, a: Tensor, b: Tensor, c: Tensor) -> Levels:
        """Maps of the three levels -> one level's logits at weight 1."""
        logits = self.classify(c.mean(dim=(2, 3)))
        return Levels(logits, torch.ones_like(logits[:, :1]), logits[:, None])


def enlarge(coarse: Tensor, like: Tensor) -> Tensor:
    """Nearest neighbour to the exact side of a finer map: 5 -> 12 and 12 -> 25 are not doublings."""
    return interpolate(coarse, size=like.shape[-2:], mode="nearest")


class HSNet(Method):
    """Stem, trunk and levels; see the head of this file."""

    Config = HSNetConfig
    paper = "Fan et al., HSNet: hierarchical scale network for FER, Cognitive Neurodynamics 2022"
    variants = {  # noqa: RUF012 - the contract makes it a class variable
        "inception-resnet-v1": {"dib": False, "fgal": False, "ktl": False},
        "inception-resnet-v1 + fgal": {"dib": False, "ktl": False},
        "dib": {"fgal": False, "ktl": False},
    }
    config: HSNetConfig

    def __init__(self, config: HSNetConfig, classes: Sequence[str]) -> None:
        super().__init__(config, classes)
        self.input_px = config.input_px
        self.stem = Stem(config.width)
        self.trunk = DilatedTrunk(config.width) if config.dib else Body(config.width, config.blocks)
        head = GuidedLevels if config.fgal else LastLevel
        self.head = head(self.trunk.channels, len(self.classes))
        self.recognition: Recognition | None = None  # there in the knowledge-transfer phase only
        self.apply(he)
        if isinstance(self.head, GuidedLevels):
            self.head.calm()
        self._stem_sha256: str | None = None

    @classmethod
    def files(cls, config: Section) -> Mapping[str, Path]:
        """The stem's weight file, if the knowledge comes from one."""
        assert isinstance(config, HSNetConfig)
        return {"stem_file": Path(config.stem_file)} if config.ktl and config.stem_from == "file" else {}

    def phases(self) -> Sequence[Phase]:
        """Knowledge transfer, if it comes from a corpus, then classification."""
        c, k = self.config, self.config.knowledge_transfer
        last = Phase(CLASSIFICATION, epochs=c.epochs, batch_size=c.batch_size, keep=c.keep)
        if not (c.ktl and c.stem_from == "corpus"):
            return (last,)
        return (Phase(TRANSFER, k.epochs, k.batch_size, label="subject", corpus=k.corpus), last)

    @property
    def stem_is_frozen(self) -> bool:
        """True while the stem only passes its knowledge on: weights and statistics stand still (eq. 19)."""
        return self.config.ktl and self.config.stem_from != "random" and self.recognition is None

    def start(self, phase: Phase, labels: int) -> None:
        """Put the recognition network on the stem, or fill the stem from its file."""
        if phase.name == TRANSFER:
            k = self.config.knowledge_transfer
            self.recognition = Recognition(self.config.width, k.blocks, labels)
        elif self.files(self.config):
            file, key = self.config.stem_file, "methods.hsnet.stem_file"
            self._stem_sha256 = load_weights(self.stem, file, key, within="stem")

    def finish(self, phase: Phase) -> None:
        """Take the recognition network off again."""
        self.recognition = None

    def moved_by(self, phase: Phase, turn: str) -> Sequence[nn.Parameter]:
        """Stem and recognition network in the first phase, then everything that is not frozen."""
        if phase.name == TRANSFER:
            assert self.recognition is not None
            return [*self.stem.parameters(), *self.recognition.parameters()]
        own = [*self.trunk.parameters(), *self.head.parameters()]
        return own if self.stem_is_frozen else [*self.stem.parameters(), *own]

    def optimizer(self, phase: Phase, turn: str) -> Optimizer:
        """Adam, with each phase's own rate, and a share of it for the linear layers of the levels."""
        of = self.config.knowledge_transfer if phase.name == TRANSFER else self.config
        slow = {id(p) for n, p in self.head.named_parameters() if n.startswith(("weigh", "classify"))}
        of_slow = {"params": [], "lr": of.learning_rate * self.config.head_rate}
        groups: list[dict[str, Any]] = [{"params": []}, of_slow]
        for parameter in self.moved_by(phase, turn):
            groups[id(parameter) in slow]["params"].append(parameter)
        betas = (self.config.adam_betas[0], self.config.adam_betas[1])
        return Adam(groups, of.learning_rate, betas, weight_decay=of.weight_decay, fused=True)

    def schedule(self, phase: Phase, turn: str, optimizer: Optimizer) -> Schedule | None:
        """A cosine for the knowledge transfer, then as the settings say."""
        name: ScheduleName = "cosine" if phase.name == TRANSFER else self.config.schedule
        return schedule(name, optimizer, phase.epochs, self.config.plateau_patience_epochs)

    def train(self, mode: bool = True) -> "HSNet":
        """As ever, but a frozen stem stays in evaluation mode."""
        super().train(mode)
        if self.stem_is_frozen:
            self.stem.eval()
        return self

    def forward(self, batch: Batch, phase: Phase, turn: str) -> dict[str, Tensor]:
        """Cross-entropy of people or of expressions (eq. 21)."""
        return self._terms(self._logits(batch, phase), batch, phase)

    def validate(self, batch: Batch, phase: Phase) -> tuple[dict[str, Tensor], Tensor | None]:
        """The loss and the scores from one pass."""
        logits = self._logits(batch, phase)
        return self._terms(logits, batch, phase), logits

    def predict(self, batch: Batch) -> Tensor:
        """Softmax probabilities (N, C)."""
        return self.levels(batch).logits.float().softmax(dim=1)

    def levels(self, batch: Batch) -> Levels:
        """What each level says of each face, and how much it counts."""
        pixels = self._pixels(batch, self.config.augmentation)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.stem_is_frozen):
            knowledge = self.stem(pixels)
        levels: Levels = self.head(*self.trunk(knowledge))
        return levels

    def examine(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Lambda of each level: its mean over the test faces of each class, `weight_a_CLASS`."""
        if not self.config.fgal:
            return {}
        seen = [(self.levels(batch).weights, batch.label) for batch in batches]
        weights, label = (torch.cat(part) for part in zip(*seen, strict=True))
        means = {n: weights[label == n].mean(dim=0).tolist() for n in torch.unique(label).tolist()}
        return {f"weight_{v}_{self.classes[n]}": means[n][k] for n in means for k, v in enumerate("abc")}

    def record(self) -> dict[str, Any]:
        """Where the stem's knowledge came from."""
        c = self.config
        if not c.ktl:
            return {"stem": "trained with the rest"}
        corpus = c.knowledge_transfer.corpus or "the training people of the experiment's own corpus"
        known = {"file": f"file {self._stem_sha256}", "corpus": f"identity corpus: {corpus}"}
        return {"stem": known.get(c.stem_from, "random")}

    def _logits(self, batch: Batch, phase: Phase) -> Tensor:
        if phase.name != TRANSFER:
            return self.levels(batch).logits
        assert self.recognition is not None
        pixels = self._pixels(batch, self.config.knowledge_transfer.augmentation)
        logits: Tensor = self.recognition(self.stem(pixels))
        return logits

    def _pixels(self, batch: Batch, how: Augmentation) -> Tensor:
        pixels = resize(batch.faces, self.config.input_px, self.config.window)
        pixels = augment(pixels, batch.seed, how) if self.training else pixels
        pixels = normalise(pixels, self.config.light)
        return quick(pixels) if self.training else pixels

    def _terms(self, logits: Tensor, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        smoothing = 0.0 if phase.name == TRANSFER else self.config.label_smoothing
        return {"cross_entropy": cross_entropy(logits.float(), batch.label, label_smoothing=smoothing)}
