"""EAN: its numeric checks, its phases, and that an answer does not depend on its neighbours."""

from dataclasses import replace

import pytest
import torch
from torch.optim import SGD, AdamW

from mien import methods
from mien.config import MienError
from mien.methods.contract import UPPER_BOUND
from mien.methods.ean import ALONE, ASSOCIATION, GALLERY, WARMUP, EANConfig
from mien.training.loop import Options, fit
from tests import tiny

TINY = {
    "width": 0.125,
    "input_px": 32,
    "generator": {"people": 8},
    "graph": {"gallery_per_class": 2, "max_density": 1.0},
    "hidden": 16,
    "dropout": 0.2,
    "batch_size": 8,
    "warmup_epochs": 1,
    "association_epochs": 1,
    "learning_rate": 0.02,
    "keep": "last",
    "augmentation": {"rotation_degrees": 0.0, "flip": 0.0},
}


def begun(name: str, **changed: object):
    """Ean at the start of a phase."""
    method = tiny.build("ean", **changed)
    phase = next(phase for phase in method.phases() if phase.name == name)
    tiny.enter(method, phase)
    return method.train(), phase


@pytest.fixture(scope="module")
def trained():
    """Weights, threshold and gallery from a few steps."""
    method = tiny.build("ean", warmup_epochs=2, association_epochs=2)
    fit(method, tiny.readers(24), Options())
    return method


def test_parameters_at_the_papers_size() -> None:
    with torch.device("meta"):
        method = methods.build("ean", EANConfig(), [str(n) for n in range(7)])
    assert methods.learnt(method) == 11_309_639
    assert method.gallery.shape == (112, 512)


def test_phases_and_the_rate_through_them() -> None:
    method = tiny.build("ean", warmup_epochs=50, association_epochs=50, learning_rate=0.1)
    warmup, association, gallery = method.phases()
    assert [p.name for p in (warmup, association, gallery)] == [WARMUP, ASSOCIATION, GALLERY]
    assert (warmup.epochs, association.epochs, gallery.fits) == (50, 50, True)
    rates = []
    for phase in (warmup, association):
        optimizer = method.optimizer(phase, "expression")
        schedule = method.schedule(phase, "expression", optimizer)
        for _ in range(phase.epochs):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
    expected = {0: 1e-1, 20: 1e-2, 40: 1e-3, 50: 1e-3, 60: 1e-4, 80: 1e-5}
    assert {epoch: rates[epoch] for epoch in expected} == pytest.approx(expected)


def test_a_cosine_lies_over_warm_up_and_association() -> None:
    method = tiny.build("ean", warmup_epochs=3, association_epochs=1, learning_rate=0.1, schedule="cosine")
    warmup, association, _ = method.phases()
    for phase, first in ((warmup, 0.1), (association, 0.1 * 0.14644661)):
        optimizer = method.optimizer(phase, "expression")
        method.schedule(phase, "expression", optimizer)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(first)


def test_either_optimizer_is_clipped_in_association_alone() -> None:
    for name, kind in (("sgd", SGD), ("adamw", AdamW)):
        method = tiny.build("ean", optimizer=name, clip_norm=0.5)
        warmup, association, _ = method.phases()
        for phase, clipped in ((warmup, False), (association, True)):
            optimizer = method.optimizer(phase, "expression")
            assert type(optimizer) is kind
            own = method.moved_by(phase, "expression")
            for parameter in own:
                parameter.grad = torch.ones_like(parameter)
            optimizer.step()
            norm = torch.stack([parameter.grad.norm() for parameter in own]).norm()
            assert (float(norm) < 0.51) == clipped


def test_without_links_there_is_one_phase() -> None:
    (only,) = tiny.build("ean", graph={"links": "identity"}).phases()
    assert only.name == ALONE


def test_faces_do_not_see_each_other_in_warm_up_and_do_in_association() -> None:
    for name, alone in ((WARMUP, True), (ASSOCIATION, False)):
        method, phase = begun(name, dropout=0.0, generator={"use": False})
        for module in method.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        if not alone:
            method.tau.fill_(-1.0)  # all are linked
        faces = tiny.faces(8)
        other = replace(faces, faces=torch.cat([faces.faces[:4], 255 - faces.faces[4:]]))
        first = faces.select(range(4))
        whole, changed, part = (
            float(method(batch, phase, "expression")["cross_entropy"].detach())
            for batch in (faces, other, first)
        )
        rest = float(method(faces.select(range(4, 8)), phase, "expression")["cross_entropy"].detach())
        assert (abs(whole - (part + rest) / 2) < 1e-5) == alone
        assert whole != changed


def test_answers_do_not_depend_on_batch_order_or_neighbours(trained) -> None:
    faces = tiny.faces(9, seed=4)
    order = torch.tensor([4, 2, 8, 0, 7, 1, 3, 6, 5])
    with torch.no_grad():
        together = trained.predict(faces)
        assert torch.equal(trained.predict(faces.select(order)), together[order])
        for number in range(9):
            assert torch.equal(trained.predict(faces.select([number])), together[number : number + 1])


def test_the_gallery_is_read_by_validation_as_by_answers(trained) -> None:
    faces = tiny.faces(9, seed=4)
    with torch.no_grad():
        _, logits = trained.validate(faces, trained.phases()[-1])
        torch.testing.assert_close(logits.softmax(dim=1), trained.predict(faces), rtol=0, atol=1e-5)


def test_a_graph_of_one_is_no_graph_and_a_permutation_permutes(trained) -> None:
    faces = tiny.faces(9, seed=4)
    with torch.no_grad():
        features = trained._features(faces.faces)
        alone = trained.by_itself(features, faces.label)
        for number in range(9):
            row = slice(number, number + 1)
            by_batch = trained.by_batch(features[row], faces.label[row])
            torch.testing.assert_close(by_batch, alone[row], rtol=1e-6, atol=1e-5)
        order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
        whole = trained.by_batch(features, faces.label)
        permuted = trained.by_batch(features[order], faces.label[order])
        torch.testing.assert_close(permuted, whole[order], rtol=0, atol=1e-5)
        assert not torch.allclose(whole, alone, atol=1e-3), "no face is linked"


def test_the_threshold_is_calibrated_once_and_kept_with_the_weights(trained, tmp_path) -> None:
    assert -1 < float(trained.tau) < 1
    assert trained.record()["tau"] == float(trained.tau)
    methods.save(trained, "ean", tmp_path, {})
    loaded, _ = methods.load(tmp_path)
    assert torch.equal(loaded.tau, trained.tau)
    method, phase = begun(ASSOCIATION)
    first = float(method.tau)
    with torch.no_grad():
        method.backbone.network.conv1.weight.neg_()
        method.eval().refresh(lambda: [tiny.faces(12)], phase, 1)
    assert float(method.tau) == first
    assert float(begun(ASSOCIATION, graph={"tau": 0.25, "gallery_per_class": 2})[0].tau) == 0.25


def test_nearly_everything_linked_is_refused() -> None:
    method, phase = begun(ASSOCIATION, graph={"tau": -1.0, "gallery_per_class": 2})
    method(tiny.faces(8), phase, "expression")
    with pytest.raises(MienError, match="max_density"):
        method.figures(phase)


def test_figures_are_of_true_labels() -> None:
    method, phase = begun(ASSOCIATION, graph={"tau": -1.0, "gallery_per_class": 2, "max_density": 1.0})
    faces = tiny.faces(9)
    method(replace(faces, label=torch.zeros_like(faces.label)), phase, "expression")
    figures = method.figures(phase)
    assert figures == pytest.approx({"link_density": 1.0, "link_precision": 18 / 72, "link_recall": 1.0})


def test_an_oracle_links_true_labels_alone() -> None:
    graph = {"links": "oracle", "gallery_per_class": 2}
    method, phase = begun(ASSOCIATION, graph=graph, generator={"use": False})
    faces = tiny.faces(9)
    terms = method(replace(faces, label=faces.label.roll(1)), phase, "expression")
    assert set(terms) == {"cross_entropy"}
    assert method.figures(phase)["link_precision"] == 1.0
    assert method.record()["links"] == "oracle"
    assert "true labels" in method.record()[UPPER_BOUND]


def test_the_adjacency_loss_is_off_in_warm_up_and_on_demand() -> None:
    for name, changed, there in (
        (WARMUP, {}, False),
        (ASSOCIATION, {}, True),
        (ASSOCIATION, {"graph": {"loss": "none", "gallery_per_class": 2}}, False),
    ):
        method, phase = begun(name, **changed)
        assert ("adjacency" in method(tiny.faces(8), phase, "expression")) == there


def test_the_generator_is_gone_after_training_and_leaves_batch_norm_alone() -> None:
    method, phase = begun(WARMUP)
    before = {n: b.clone() for n, b in method.backbone.named_buffers()}
    method(tiny.faces(8), phase, "discriminator")
    assert all(torch.equal(before[n], b) for n, b in method.backbone.named_buffers())
    method.finish(phase)
    assert method.discriminator is not None
    method.finish(method.phases()[1])
    assert method.discriminator is None


def test_faces_beside_are_the_generators_alone() -> None:
    method, phase = begun(WARMUP)
    faces, beside = tiny.faces(8), tiny.faces(6, seed=9)
    unknown = replace(faces, subject=torch.full((8,), -1), clean=torch.full((8,), -1))
    with pytest.raises(MienError, match="known people and views"):
        method(unknown, phase, "discriminator")
    expected = method(beside, phase, "discriminator")
    for term, value in method(replace(unknown, beside=beside), phase, "discriminator").items():
        torch.testing.assert_close(value, expected[term])
    assert tiny.build("ean", generator={"corpus": "cfp"}).phases()[0].beside == "cfp"


def test_examine_tells_every_mode(trained) -> None:
    faces = tiny.faces(24, seed=6)
    with torch.no_grad():
        figures = trained.examine([faces.select(range(12)), faces.select(range(12, 24))])
    told = {"self", "gallery", "batch"}
    assert told <= {name.removeprefix("accuracy_") for name in figures}
    with torch.no_grad():
        right = trained.predict(faces).argmax(dim=1) == faces.label
    assert figures["accuracy_gallery"] == pytest.approx(float(right.double().mean()))
    assert {"changed_wild", "changed_occluded", "changed_relit"} <= set(figures)


@pytest.mark.parametrize("backbone", ["alexnet", "vgg13"])
def test_other_backbones_take_a_step(backbone: str) -> None:
    method, phase = begun(ASSOCIATION, backbone=backbone, input_px=64, hidden=None)
    for turn in method.turns(phase, 0):
        terms = method(tiny.faces(6), phase, turn)
        assert all(torch.isfinite(value) for value in terms.values())
