from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from mien import methods
from mien.config import MienError
from mien.methods.contract import Phase
from mien.methods.idferm import DISCRIMINATOR, FINE_TUNING, GENERATOR, IDFERM, IDFERMConfig, radial_loss
from mien.parts.frontal import aligned
from mien.parts.muon import Muon
from mien.shards.batch import Batch
from tests import tiny

TINY = {
    "metric_weight": 0.1,  # at 1 the metric takes most of the clipped gradient, and 40 steps do not do
    "width": 0.0625,
    "dropout": 0.0,
    "epochs": 1,
    "judges_from": "trained",
    "judges": {"epochs": 1},
    "judges_width": 0.0625,
    "judges_px": [16, 64],
    "generation": [{"epochs": 1}],
    "generation_width": 0.0625,
    "generation_batch": 8,
    "pretraining_batch": 8,
}


def at(name: str, classes: tuple[str, ...] = tiny.CLASSES, **changed: object) -> tuple[IDFERM, Phase]:
    """The method in training at a phase."""
    method = tiny.build("idferm", classes, **changed)
    assert isinstance(method, IDFERM)
    phase = next(phase for phase in method.phases() if phase.name == name)
    tiny.enter(method, phase)
    method.train()
    return method, phase


@pytest.mark.parametrize(
    ("positive", "negative", "loss"),
    [([1, 2], [-1, -3], 0.0), ([0, 0], [0, 0], 2.0), ([0.5, 0.5], [-0.25, -0.25], 1.25)],
)
def test_radial_loss_by_hand(positive: list[float], negative: list[float], loss: float) -> None:
    apart, known = torch.zeros(2, dtype=torch.bool), torch.ones(2, dtype=torch.bool)
    found = radial_loss(torch.tensor(positive, dtype=torch.float64), torch.tensor(negative), apart, known)
    assert found.item() == loss


def test_a_reference_that_belongs_to_the_class_is_pulled_and_an_unknown_face_costs_nothing() -> None:
    h = torch.tensor([0.0, 0.0, -9.0])
    together, known = torch.tensor([True, False, False]), torch.tensor([True, True, False])
    found = radial_loss(h, torch.tensor([2.0, 2.0, 9.0]), together, known)
    assert found.item() == pytest.approx((1 + 0 + 1 + 3) / 2)


def test_radial_loss_has_the_gradient_that_differences_say() -> None:
    h = torch.tensor([0.3, 1.7, -0.4], dtype=torch.float64, requires_grad=True)
    away = torch.tensor([-0.2, -1.5, 0.6], dtype=torch.float64, requires_grad=True)
    together, known = torch.tensor([False, False, True]), torch.ones(3, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda a, b: radial_loss(a, b, together, known), (h, away))


def test_the_papers_network_has_its_parameters() -> None:
    method = methods.build("idferm", IDFERMConfig(), tuple("abcdefg"))
    assert methods.learnt(method) == 9_026_568
    assert sum(p.numel() for p in method.metric.parameters()) == 65_793


@pytest.mark.parametrize(("classes", "distances"), [(6, 24), (7, 28), (8, 32)])
def test_a_batch_takes_exactly_two_distances_a_query(classes: int, distances: int) -> None:
    names = tuple(f"class{i}" for i in range(classes))
    method, phase = at(FINE_TUNING, ("neutral", *names[1:]))
    assert phase.batch_size == 2 * classes
    assert phase.balanced
    method(tiny.faces(phase.batch_size, classes), phase, "all")
    assert (method.evaluations, method.passes) == (distances, distances)
    assert method.record()["distances a batch"] == distances


def gradients(method: IDFERM, phase: Phase, turn: str, faces: Batch) -> dict[str, torch.Tensor]:
    method.zero_grad()
    sum(method(faces, phase, turn).values()).backward()
    return {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}


def test_symmetry_and_adversary_move_the_decoder_and_never_the_encoder() -> None:
    found = []
    for weights in ({}, {"symmetry_weight": 0.0, "adversarial_weight": 0.0}, {"symmetry_weight": 9.0}):
        method, phase = at("generation", **weights)
        for parameter in method.hng.discriminator.parameters():
            parameter.requires_grad_(False)
        found.append(gradients(method, phase, GENERATOR, tiny.faces(8)))
    encoder = [n for n in found[0] if ".encoder." in n]
    decoder = [n for n in found[0] if ".decoder." in n]
    assert encoder
    for other in found[1:]:
        assert all(torch.equal(found[0][n], other[n]) for n in encoder)
        assert any(not torch.allclose(found[0][n], other[n]) for n in decoder)
    assert not any(".judges." in n or "network" in n for n in found[0])


def test_the_discriminators_turn_reaches_nothing_else() -> None:
    method, phase = at("generation")
    found = gradients(method, phase, DISCRIMINATOR, tiny.faces(8))
    assert found
    assert all(".discriminator." in name for name in found)


def test_the_generator_may_learn_by_muon_while_its_rate_falls() -> None:
    method, phase = at("generation", muon_rate=0.02, generation=[{"epochs": 2}])
    optimizers = {turn: method.optimizer(phase, turn) for turn in (GENERATOR, DISCRIMINATOR)}
    assert isinstance(optimizers[GENERATOR], Muon)
    assert isinstance(optimizers[DISCRIMINATOR], torch.optim.Adam)
    assert method.schedule(phase, DISCRIMINATOR, optimizers[DISCRIMINATOR]) is None
    falling = method.schedule(phase, GENERATOR, optimizers[GENERATOR])
    before = {n: p.clone() for n, p in method.named_parameters()}
    gradients(method, phase, GENERATOR, tiny.faces(8))
    rates = []
    for _ in range(2):
        optimizers[GENERATOR].step()
        rates.append(optimizers[GENERATOR].param_groups[0]["lr"])
        falling.step()
    assert rates == pytest.approx([0.02, 0.01])
    moved = {n for n, p in method.named_parameters() if not torch.equal(p, before[n])}
    assert moved
    assert all(".generator." in name for name in moved)


def test_running_statistics_are_those_of_one_pass_a_turn() -> None:
    method, phase = at("generation")
    norm = next(m for m in method.hng.generator.decoder.modules() if isinstance(m, torch.nn.BatchNorm2d))
    method(tiny.faces(8), phase, GENERATOR)
    method(tiny.faces(8), phase, DISCRIMINATOR)
    assert norm.num_batches_tracked == 1


def test_a_person_without_a_neutral_face_has_no_target_and_counts_in_no_mean() -> None:
    method, phase = at("generation")
    faces = tiny.faces(8)
    assert faces.subject is not None
    method.hng.guides.keep(people=torch.tensor([0]), faces=method.hng.guides.faces[:1])
    some = method.eval()(faces, phase, GENERATOR)
    own = method(faces.select(torch.nonzero(faces.subject == 0)[:, 0]), phase, GENERATOR)
    torch.testing.assert_close(some["pixel"], own["pixel"])
    torch.testing.assert_close(some["feature"], own["feature"])


def test_without_a_neutral_face_there_are_no_pairs() -> None:
    method, phase = at("generation")
    method.hng.begin()
    faces = replace(tiny.faces(6), label=torch.full((6,), -1))
    with pytest.raises(MienError, match="no known person of the training part has a neutral face"):
        method.refresh(lambda: [faces], phase, 0)


def test_references_are_made_once_and_take_the_crop_and_flip_of_their_query() -> None:
    method, phase = at(FINE_TUNING)
    faces, calls = tiny.faces(6, seed=4), []
    made = method.hng.generated
    method.hng.generated = lambda batch: (
        calls.append(len(batch)) or aligned(batch.faces, batch.points)
    )  # the query itself
    for epoch in range(3):
        method.start(phase, 3) if epoch == 0 else None
        method.eval().refresh(lambda: [faces], phase, epoch)
    assert calls == [6]
    seen: list[torch.Tensor] = []
    method.network.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    method.train()(faces, phase, "all")
    queries, references = seen[0].chunk(2)
    torch.testing.assert_close(queries, references)
    assert calls == [6]
    method.hng.generated = made


def test_logits_never_hear_of_a_reference_but_the_metric_teaches_the_shared_layers() -> None:
    method, phase = at(FINE_TUNING)
    faces = tiny.faces(6)
    first = method(faces, phase, "all")
    method._references = {key: torch.full((1, 64, 64), 200, dtype=torch.uint8) for key in faces.keys}
    method._references[faces.keys[0]] = torch.randint(0, 256, (1, 64, 64), dtype=torch.uint8)
    other = method(faces, phase, "all")
    torch.testing.assert_close(first["cross_entropy"], other["cross_entropy"])
    assert not torch.allclose(first["metric"], other["metric"])
    shared = [method.network.fc4.weight, method.network.fc2.weight]
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(other["metric"], shared))


def test_with_no_weight_on_the_metric_it_is_softmax_alone() -> None:
    method = tiny.build("idferm", metric_weight=0.0)
    assert [phase.name for phase in method.phases()] == [FINE_TUNING]
    assert set(method(tiny.faces(6), method.phases()[0], "all")) == {"cross_entropy"}
    assert not any("fc3" in name or "metric" in name for name, _ in method.named_parameters())


def test_phases_follow_the_settings_and_the_discriminator_lives_as_long_as_generation() -> None:
    changed = {
        "judges_px": [16, 128],
        "judges_width": 1.0,
        "judges_from": "file",
        "generation": [{"corpus": "faces", "epochs": 1}, {"epochs": 1}],
        "pretraining": {"corpus": "poses", "epochs": 3},
    }
    method = tiny.build("idferm", **changed)
    names = [phase.name for phase in method.phases()]
    assert names == ["generation", "generation_2", "pretraining", "fine_tuning"]
    assert [phase.corpus for phase in method.phases()] == ["faces", None, "poses", None]
    method, _ = at("fine_tuning", generation=changed["generation"])
    assert method.hng.discriminator is None
    assert method.hng.guides is None
    assert at("generation_2", generation=changed["generation"])[0].hng.discriminator is not None


def test_a_trained_model_brings_its_generator_along(tmp_path: Path) -> None:
    method, _ = at(FINE_TUNING)
    faces = tiny.faces(4)
    methods.save(method, "idferm", tmp_path, {})
    loaded = methods.load(tmp_path)[0]
    assert torch.equal(loaded.hng.generated(faces), method.hng.generated(faces))
    known = loaded.hng.known(faces.faces[:, :1].float())
    torch.testing.assert_close(known.norm(dim=1), torch.ones(4))


def test_judges_come_from_files_where_they_are_named(tmp_path: Path) -> None:
    config = {"judges_px": [16, 128], "judges_width": 1.0, "judges_from": "file"}
    files = {"vgg_file": tmp_path / "vgg.safetensors", "light_cnn_file": tmp_path / "light.safetensors"}
    config |= {name: str(path) for name, path in files.items()}
    method = tiny.build("idferm", **config)
    assert dict(IDFERM.files(method.config)) == files
    from mien.parts.judges import Judges

    judges = Judges((16, 128), 1.0)
    save_file(judges.vgg.state_dict(), files["vgg_file"])
    save_file(judges.light.state_dict(), files["light_cnn_file"])
    method.start(method.phases()[0], 1)
    assert torch.equal(method.hng.judges.light.fc1.weight, judges.light.fc1.weight)
    assert "vgg_file" in method.record()["judges of generated faces"]
    files["vgg_file"].unlink()
    with pytest.raises(MienError, match=r"methods\.idferm\.vgg_file names .*vgg"):
        tiny.build("idferm", **config).start(method.phases()[0], 1)


def test_generation_goes_on_from_a_trained_model_with_its_judges(tmp_path: Path) -> None:
    trained, _ = at(FINE_TUNING)
    methods.save(trained, "idferm", tmp_path, {})
    config = {"judges_from": "model", "model_file": str(tmp_path / methods.WEIGHTS)}
    method = tiny.build("idferm", ("neutral", "happy"), seed=5, **config)
    assert [phase.name for phase in method.phases()] == ["generation", "fine_tuning"]
    assert dict(IDFERM.files(method.config)) == {"model_file": tmp_path / methods.WEIGHTS}
    method.start(method.phases()[0], 2)
    faces = tiny.faces(4)
    assert torch.equal(method.hng.generated(faces), trained.hng.generated(faces))
    seen = faces.faces[:, :1].float()
    assert torch.equal(method.hng.known(seen), trained.hng.known(seen))
    assert method.hng.discriminator is not None
    record = method.record()
    assert record["judges of generated faces"].startswith("model_file ")
    assert record["pairs to neutral from"] == "what model_file learnt from, then the training people alone"
    wider = tiny.build("idferm", generation_width=0.125, **config)
    with pytest.raises(MienError, match=r"methods\.idferm\.model_file names .*, whose .* is "):
        wider.start(wider.phases()[0], 2)


def test_settings_that_contradict_each_other_are_refused() -> None:
    for given in ({"judges_from": "model"}, {"judges_from": "trained", "model_file": "x.safetensors"}):
        with pytest.raises(ValidationError, match="judges_from: model and model_file go together"):
            IDFERMConfig(**given)
    with pytest.raises(ValidationError, match="judges_from: file needs judges_width 1"):
        IDFERMConfig(judges_from="file", judges_width=0.5)
    with pytest.raises(ValidationError, match="names a corpus twice"):
        IDFERMConfig(generation=[{"epochs": 1}, {"epochs": 2}])


def test_judges_that_were_trained_here_are_told_loudly() -> None:
    assert "NOT VGG-FACE" in tiny.build("idferm").record()["judges of generated faces"]
