"""SNA: the numeric checks of its paper's specification, and what the mask may touch."""

import math
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from mien import methods
from mien.config import MienError
from mien.parts.sna_classifier import focal, reduced
from mien.parts.sna_mask import divergence
from mien.parts.sna_tally import NOISES
from mien.training.loop import Options, fit
from mien.training.step import step
from tests import tiny

TINY = {
    "input_px": 32, "width": 0.125, "autoencoder_width": 0.25,
    "classification": {"epochs": 2, "faces_per_class": 3, "learning_rate": 0.02, "dropout": 0.0},
    "autoencoder": {"epochs": 1, "batch_size": 8, "dropout": 0.0, "learning_rate": 0.05},
    "refinement": {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "critic_rate": 1e-3},
}  # fmt: skip
BASELINE, AUTOENCODER, REFINEMENT, FINAL = range(4)
LOG = {"rtol": 0, "atol": 1e-6}


def at(number: int, **changed):
    """A tiny SNA at the start of a phase, and the phase."""
    method = tiny.build("sna", **changed)
    phase = method.phases()[number]
    tiny.enter(method, phase)
    return method.train(), phase


def logits(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities]).log()


def test_div_by_hand() -> None:
    p, q = logits(0.9, 0.1), logits(0.5, 0.5)
    torch.testing.assert_close(divergence(p, q), torch.tensor([0.439445]), **LOG)
    assert torch.equal(divergence(p, q), divergence(q, p))
    assert divergence(p, p).item() == 0
    torch.testing.assert_close(divergence(p + 7, q - 3), divergence(p, q), rtol=0, atol=1e-6)
    far = divergence(torch.tensor([[80.0, -80.0]]), torch.tensor([[-80.0, 80.0]]))
    torch.testing.assert_close(far, torch.tensor([160.0]))  # (1 - 0) * (0 - -160), finite


def test_focal_loss() -> None:
    given, label = (
        torch.randn((5, 3), generator=torch.Generator().manual_seed(1)),
        torch.tensor([0, 1, 2, 0, 1]),
    )
    entropy = cross_entropy(given, label, reduction="none")
    assert torch.equal(focal(given, label, 0.0), entropy)
    sure = logits(0.9, 0.1)
    ratio = focal(sure, torch.tensor([0]), 2.0) / focal(sure, torch.tensor([0]), 0.0)
    torch.testing.assert_close(ratio, torch.tensor([0.01]), **LOG)
    weighted = focal(given, label, 0.0, torch.tensor([1.0, 2.0, 0.5]))
    torch.testing.assert_close(weighted, entropy * torch.tensor([1.0, 2.0, 0.5, 1.0, 2.0]))


@pytest.mark.parametrize(("norm", "value"), [("batch", 4 / 4), ("kept", 4 / 2), ("sum", 4.0)])
def test_the_masked_losses_are_divided_as_asked(norm: str, value: float) -> None:
    losses, keep = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    assert reduced(losses, keep, 4, 2.0, norm).item() == value
    halves = [reduced(losses[r], keep[r], 4, 2.0, norm).item() for r in (slice(0, 2), slice(2, 4))]
    assert sum(halves) / 2 == value  # as DDP averages two ranks
    assert reduced(losses, torch.zeros(4), 4, 0.0, norm).item() == 0


def test_counts_are_the_papers() -> None:
    seven = methods.method_class("sna")(methods.method_class("sna").Config(), tuple("abcdefg"))
    assert methods.learnt(seven) == 5_356_085
    six = methods.method_class("sna")(methods.method_class("sna").Config(), tuple("abcdef"))
    assert methods.learnt(six) == 5_356_085 - 195
    near = seven._neighbourhood()
    assert sum(p.numel() for p in near.encoder.parameters()) == 320_592
    assert sum(p.numel() for p in near.decoder.parameters()) == 490_002


def test_a_threshold_at_infinity_is_the_baselines_step_to_the_bit() -> None:
    """Dropout on, so that whatever draws a number in between would show."""
    changed = {"classification": TINY["classification"] | {"dropout": 0.5}}
    final, last = at(FINAL, threshold="constant", constant=math.inf, **changed)
    base, first = at(BASELINE, **changed)
    base.classifier.load_state_dict(final.classifier.state_dict())
    for method, phase in ((base, first), (final, last)):
        torch.manual_seed(5)
        optimizers = {"all": method.optimizer(phase, "all")}
        for number in range(2):
            step(method, method, tiny.faces(9, seed=number), phase, number, optimizers, nullcontext())
    assert tiny.same_state(base.classifier.state_dict(), final.classifier.state_dict())
    before = at(BASELINE, **changed)[0].classifier.state_dict()
    assert not tiny.same_state(before, base.classifier.state_dict())


def test_a_threshold_of_nearly_nothing_moves_nothing() -> None:
    changed = {"classification": TINY["classification"] | {"momentum": 0.0, "weight_decay": 0.0}}
    method, phase = at(FINAL, threshold="constant", constant=1e-30, **changed)
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    optimizers = {"all": method.optimizer(phase, "all")}
    step(method, method, tiny.faces(9), phase, 0, optimizers, nullcontext())
    assert tiny.same_state(before, dict(method.named_parameters()))
    assert method.figures(phase)["masked_steps"] == 1


def masked(method, phase, faces):
    """Each face's gradient at the picture and whether it is kept, from a step of the final phase."""
    seen = {}
    whole = method.pixels

    def watched(batch, how=None):
        seen["x"] = whole(batch, how).requires_grad_()
        return seen["x"]

    method.pixels = watched
    for module in method.classifier.modules():  # batch statistics would tie faces together
        module.eval()
    loss = sum(method(faces, phase, "all").values())
    loss.backward()
    del method.pixels
    return seen["x"].grad, loss.detach()


def test_a_masked_face_has_exactly_no_gradient_and_a_kept_one_its_own() -> None:
    method, phase = at(FINAL)
    method.neighbourhood.noise.fill_(3.0)
    faces = tiny.faces(9)
    grad, loss = masked(method, phase, faces)
    keep = grad.flatten(1).abs().sum(dim=1) > 0
    assert 0 < keep.sum() < 9
    with torch.no_grad():
        div = method._divergence(method.pixels(faces), faces.seed)
    assert keep.tolist() == (div < div.mean()).tolist()
    assert all(p.grad is None for name, p in method.named_parameters() if not name.startswith("classifier."))
    method.config = method.config.model_copy(update={"threshold": "constant"})
    method.bound.fill_(math.inf)
    free, _ = masked(method, phase, faces)
    assert torch.equal(grad[keep], free[keep])
    method.config = method.config.model_copy(update={"threshold": "batch"})
    wrong = replace(faces, label=torch.where(keep, faces.label, (faces.label + 1) % 3))
    assert torch.equal(masked(method, phase, wrong)[1], loss)


@pytest.mark.parametrize("by", ["chance", "loss"])
def test_the_other_rules_reject_as_many(by: str) -> None:
    faces = tiny.faces(9)
    usual, _ = at(FINAL)
    other, _ = at(FINAL, reject_by=by)
    kept = []
    for method in (usual, other):
        method.neighbourhood.noise.fill_(3.0)
        x = method.pixels(faces)
        scores = method.classifier(x)
        losses = torch.arange(9.0).flip(0)
        kept.append(method._kept(x, scores, losses, faces)[0])
    assert kept[0].sum() == kept[1].sum()
    assert not torch.equal(kept[0], kept[1])
    if by == "loss":
        assert kept[1].tolist() == [0] * (9 - int(kept[1].sum())) + [1] * int(kept[1].sum())


def test_the_literal_reading_uses_the_training_pass_and_leaves_the_statistics() -> None:
    method, _ = at(FINAL, divergence_mode="train")
    x, faces = method.pixels(tiny.faces(9)), tiny.faces(9)
    said = method.classifier(x).fused.detach()
    before = {n: b.clone() for n, b in method.classifier.named_buffers()}
    with torch.no_grad():
        div = method._divergence(x, faces.seed, said)
    assert tiny.same_state(before, dict(method.classifier.named_buffers()))
    assert method.classifier.training
    with torch.no_grad():
        assert not torch.equal(div, method._divergence(x, faces.seed))


def test_a_constant_threshold_is_a_percentile_of_the_training_part_after_the_first_epoch() -> None:
    method, phase = at(FINAL, threshold="constant", constant_percentile=50.0)
    assert method.bound == math.inf
    faces = tiny.faces(11)
    with torch.no_grad():
        method.eval().refresh(lambda: [faces], phase, 1)
        div = method._divergence(method.pixels(faces), faces.seed)
    assert (div < method.bound).sum() == 5
    assert (div == method.bound).sum() == 1


def test_neighbours_hang_on_each_faces_seed_alone_and_noise_on_the_spread() -> None:
    method, _ = at(FINAL)
    method.eval()
    faces = tiny.faces(6)
    x = method.pixels(faces)
    with torch.no_grad():
        whole = method.neighbours(x, faces.seed)
        torch.testing.assert_close(method.neighbours(x[2:4], faces.seed[2:4]), whole[2:4], rtol=0, atol=1e-6)
        still = method.neighbours(x, faces.seed, noise=0.0)
        assert not torch.equal(method.neighbours(x, faces.seed + 1), whole)
        assert torch.equal(still, method.neighbourhood.rebuilt(x))
    codes = method.neighbourhood.encoder(x)[0]
    with torch.no_grad():
        method.refresh(lambda: [faces], method.phases()[FINAL], 0)
    torch.testing.assert_close(method.neighbourhood.spread, codes.std(dim=0), **LOG)


def test_pixel_neighbours_need_no_auto_encoder() -> None:
    method = tiny.build("sna", neighbours="pixels", pixel_noise=0.25)
    assert [phase.name for phase in method.phases()] == ["baseline", "final"]
    x = torch.zeros(4, 1, 32, 32)
    change = method.neighbours(x, torch.arange(4))
    assert change.std().item() == pytest.approx(0.25, rel=0.05)


def test_rates_and_turns_by_epoch() -> None:
    Config = methods.method_class("sna").Config
    method = methods.build("sna", Config(), tuple("abcdefg"))
    first, _, refining, last = method.phases()
    assert (first.batch_size, first.balanced, last.epochs) == (63, True, 50)
    optimizer = method.optimizer(first, "all")
    schedule = method.schedule(first, "all", optimizer)
    rates = []
    for _ in range(41):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert [rates[e] for e in (0, 10, 40)] == pytest.approx([1e-2, 1e-3, 1e-6])
    assert [method.turns(refining, s) for s in (0, 1)] == [("critic", "generator")] * 2
    method.epoch.fill_(1)
    assert ["critic" in method.turns(refining, s) for s in range(21)] == [s % 10 == 0 for s in range(21)]


def test_the_baseline_may_be_trained_otherwise_than_the_final_classifier() -> None:
    own = {"epochs": 3, "faces_per_class": 2, "learning_rate": 0.5, "dropout": 0.1}
    Config = methods.method_class("sna").Config
    method = methods.build("sna", Config(baseline=own), tuple("abcdefg"))
    first, *_, last = method.phases()
    assert (first.epochs, first.batch_size, last.epochs, last.batch_size) == (3, 14, 50, 63)
    assert method.optimizer(first, "all").param_groups[0]["lr"] == 0.5
    assert method.classifier.whole_branch.drop.p == 0.1
    method.start(last, 7)
    assert method.optimizer(last, "all").param_groups[0]["lr"] == 1e-2
    assert [net.whole_branch.drop.p for net in (method.baseline, method.classifier)] == [0.1, 0.5]


def test_phases_end_where_they_are_told_and_a_run_goes_on_from_their_weights(tmp_path) -> None:
    short = tiny.build("sna", until="refinement")
    ends = fit(short, tiny.readers(), Options(seed=3))
    assert list(dict.fromkeys(end.phase for end in ends)) == ["baseline", "autoencoder", "refinement"]
    methods.save(short, "sna", tmp_path, {})
    file = str(tmp_path / methods.WEIGHTS)
    rest = tiny.build("sna", weights=file)
    assert [phase.name for phase in rest.phases()] == ["final"]
    rest.start(rest.phases()[0], 3)
    assert tiny.same_state(rest.baseline.state_dict(), short.classifier.state_dict())
    assert tiny.same_state(rest.neighbourhood.state_dict(), short.neighbourhood.state_dict())
    assert rest.record()["phases_from"] == file
    early = tiny.build("sna", weights=file, weights_until="autoencoder")
    assert [phase.name for phase in early.phases()] == ["refinement", "final"]
    early.start(early.phases()[0], 3)
    plain = short.neighbourhood.unrefined.state_dict()
    assert tiny.same_state(early.neighbourhood.unrefined.state_dict(), plain)


def test_a_whole_run_tells_what_it_counted_and_a_loaded_one_is_the_classifier_alone(tmp_path) -> None:
    """20 % of the labels are wrong, and the readers know."""
    parts = tiny.readers()

    def readers(phase, part):
        reader = parts(phase, part)
        if part == "train":
            label = reader.faces.label.clone()
            label[:4] = (label[:4] + 1) % 3
            reader.faces = replace(reader.faces, label=label, true_label=reader.faces.label)
        return reader

    method = tiny.build("sna")
    ends = fit(method, readers, Options(seed=3))
    told = {end.phase: end.values for end in ends}
    assert "validation_psnr" in told["autoencoder"]
    assert told["refinement"]["validation_psnr_unrefined"] == pytest.approx(
        told["autoencoder"]["validation_psnr"]
    )
    judged = {"critic_real", "critic_fake", "critic_size", "critic_gradient", "generator_gradient"}
    assert judged | {"validation_sharpness"} <= told["refinement"].keys()
    shares = {s: told["refinement"][f"validation_named_alike_at_{s}"] for s in NOISES}
    final = told["final"]
    assert {
        "keep_rate",
        "keep_rate_happy",
        "validation_divergence_without_noise",
        "flips_auc",
    } <= final.keys()
    assert 0 < final["keep_rate"] < 1
    record = method.record()
    assert 0 <= record["flips_auc"] <= 1
    assert record["noise"] == max((s for s, share in shares.items() if share >= 0.95), default=0.1)
    assert 0 <= record["validation_neighbours_named_alike"] <= 1
    methods.save(method, "sna", tmp_path, {})
    loaded, _ = methods.load(tmp_path)
    assert methods.learnt(loaded) == sum(p.numel() for p in loaded.classifier.parameters())
    x = loaded.pixels(tiny.faces(3))
    with torch.no_grad():
        assert torch.equal(loaded.neighbours(x, torch.arange(3)), method.neighbours(x, torch.arange(3)))
        own, kept = method.baseline.eval()(x), loaded.aids["baseline"](x)
        assert torch.equal(own.fused, kept.fused)


def test_a_run_that_would_have_no_phase_is_refused() -> None:
    with pytest.raises(MienError, match="leaves no phase"):
        tiny.build("sna", weights="w.safetensors", weights_until="refinement", until="baseline")
