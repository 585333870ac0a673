"""Every method keeps the contract; a new one is found here by its name."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD

from mien import methods
from mien.methods.contract import Method, Phase
from mien.training.step import step
from tests import tiny
from tests.tiny import trained

BATCH = 8
# conv + batch norm in another batch size may sum in another order: last bits of float32
CLOSE = {"rtol": 0.0, "atol": 1e-6}
CLASSIFIERS = tuple(name for name in methods.names() if not methods.method_class(name).scores)
ONE_CLASS = tuple(name for name in methods.names() if methods.method_class(name).scores)


def begun(name: str) -> Iterator[tuple[Method, Phase]]:
    """The method at the start of each of its gradient phases."""
    for number in range(len(tiny.gradient_phases(tiny.build(name)))):
        method = tiny.build(name)
        phase = tiny.gradient_phases(method)[number]
        tiny.enter(method, phase)
        yield method.train(), phase


@pytest.mark.parametrize("name", methods.names())
def test_terms_are_finite_scalars(name: str) -> None:
    for method, phase in begun(name):
        for turn in method.turns(phase, 0):
            terms = method(tiny.faces(BATCH), phase, turn)
            assert terms
            for term, value in terms.items():
                assert value.shape == (), f"{phase.name} {term}"
                assert torch.isfinite(value), f"{phase.name} {term}"


@pytest.mark.parametrize("name", methods.names())
def test_a_turn_moves_its_own_parameters_and_no_other(name: str) -> None:
    for method, phase in begun(name):
        for turn in method.turns(phase, 0):
            before = {n: p.detach().clone() for n, p in method.named_parameters()}
            own = {id(p) for p in method.moved_by(phase, turn)}
            optimizer = method.optimizer(phase, turn)
            optimizer.zero_grad()
            sum(method(tiny.faces(BATCH), phase, turn).values()).backward()
            optimizer.step()
            for n, p in method.named_parameters():
                assert (not torch.equal(before[n], p)) == (id(p) in own), f"{phase.name}, {turn}: {n}"


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_probabilities_sum_to_one_and_follow_a_permutation(name: str) -> None:
    method, faces = trained(name), tiny.faces(7)
    order = torch.tensor([3, 0, 6, 5, 1, 4, 2])
    with torch.no_grad():
        straight, permuted = method.predict(faces), method.predict(faces.select(order))
    assert straight.shape == (7, len(tiny.CLASSES))
    torch.testing.assert_close(straight.sum(dim=1), torch.ones(7), rtol=0, atol=1e-5)
    torch.testing.assert_close(straight[order], permuted, **CLOSE)
    assert not torch.allclose(straight[0], straight[1], atol=1e-5), "all faces look alike to it"


@pytest.mark.parametrize("name", ONE_CLASS)
def test_alien_scores_are_finite_and_follow_a_permutation(name: str) -> None:
    method, faces = trained(name), tiny.faces(7)
    order = torch.tensor([3, 0, 6, 5, 1, 4, 2])
    with torch.no_grad():
        straight, permuted = method.predict(faces), method.predict(faces.select(order))
    assert straight.shape == (7, len(method.scores))
    assert torch.isfinite(straight).all()
    close = {"rtol": 1e-4, "atol": 1e-6}  # scores have no scale of their own
    torch.testing.assert_close(straight[order], permuted, **close)
    assert len(straight[:, 0].unique()) > 1, "all faces look alike to it"


WINDOWED = [name for name in methods.names() if "window" in methods.method_class(name).Config.model_fields]


@pytest.mark.parametrize("name", WINDOWED)
def test_what_lies_outside_the_window_plays_no_part(name: str) -> None:
    method, faces = trained(name, window=0.5), tiny.faces(5)
    painted = faces.faces.clone()
    painted[..., :4, :] = 255
    with torch.no_grad():
        assert torch.equal(method.predict(faces), method.predict(replace(faces, faces=painted)))
        painted[..., 18:22, :] = 255
        assert not torch.equal(method.predict(faces), method.predict(replace(faces, faces=painted)))


@pytest.mark.parametrize("name", methods.names())
def test_saved_and_loaded_it_predicts_the_same(name: str, tmp_path) -> None:
    method, faces = trained(name), tiny.faces(5)
    methods.save(method, name, tmp_path, {"fold": 3})
    loaded, described = methods.load(tmp_path)
    assert described["fold"] == 3
    assert described["classes"] == list(method.classes)
    with torch.no_grad():
        assert torch.equal(method.predict(faces), loaded.predict(faces))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_eight_faces_can_be_learnt(name: str) -> None:
    faces, method = tiny.faces(BATCH, seed=5), tiny.build(name)
    for phase in method.phases():
        tiny.enter(method, phase)
        if phase.fits:
            method.fit([faces], phase)
        else:
            optimizers = {t: method.optimizer(phase, t) for t in method.turns(phase, 0)}
            for number in range(80):
                again = replace(faces, seed=faces.seed + number)  # augmented differently
                step(method.train(), method, again, phase, number, optimizers, nullcontext())
        method.finish(phase)
    with torch.no_grad():
        assert method.eval().predict(faces).argmax(dim=1).tolist() == faces.label.tolist()


@pytest.mark.parametrize("name", methods.names())
def test_a_record_is_plain(name: str) -> None:
    for key, value in trained(name).record().items():
        assert isinstance(key, str)
        assert isinstance(value, str | int | float | bool | list)


def freeze_statistics(method: Method, phase: Phase) -> None:
    """Let batch norm see some faces, then hold its statistics: in a batch's half they would be others."""
    norms = [module for module in method.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for _ in range(20):
            method(tiny.faces(12, seed=7), phase, method.turns(phase, 0)[0])
    for norm in norms:
        norm.eval()


def three_steps(name: str, phase_number: int, seed: int, rank: int, world: int) -> dict[str, Tensor]:
    """The parameters after three steps on this rank's share of three batches, drawn from `seed` on."""
    method = tiny.build(name)
    phase = tiny.gradient_phases(method)[phase_number]
    tiny.enter(method, phase)
    freeze_statistics(method.train(), phase)
    several = len(method.turns(phase, 0)) > 1
    module = DistributedDataParallel(method, find_unused_parameters=several) if world > 1 else method
    # not the method's own optimiser: Adam divides a gradient of nearly 0 by itself, rounding and all
    optimizers = {t: SGD(method.moved_by(phase, t), lr=2e-3) for t in method.turns(phase, 0)}
    own = BATCH // world
    for number in range(3):
        rows = range(rank * own, (rank + 1) * own)
        share = replace(tiny.faces(BATCH, seed=seed + number).select(rows), total=BATCH)
        step(module, method, share, phase, number, optimizers, nullcontext())
    return {n: p.detach().clone() for n, p in method.named_parameters()}


def three_steps_of_this_rank(name: str, phase_number: int, seed: int) -> dict[str, Tensor]:
    return three_steps(name, phase_number, seed, torch.distributed.get_rank(), 2)


@pytest.mark.parametrize("name", methods.names())
def test_two_ranks_on_half_batches_move_like_one_on_the_whole(name: str, two_ranks) -> None:
    for number, phase in enumerate(tiny.gradient_phases(tiny.build(name))):
        start = tiny.build(name)
        tiny.enter(start, phase)
        still, apart = dict(start.named_parameters()), []
        for seed in (0, 10, 20):  # a rectifier or a link on the brink tips with last bits: not in each draw
            whole = three_steps(name, number, seed, 0, 1)
            moved = [n for n, value in whole.items() if n in still and (value - still[n]).abs().max() > 1e-4]
            assert len(moved) > min(3, len(whole) - 1), "nothing moves far enough to compare"
            both = two_ranks(three_steps_of_this_rank, name, number, seed)
            apart = [
                n
                for n, value in whole.items()
                if not all(torch.allclose(halves[n], value, rtol=0, atol=1e-5) for halves in both)
            ]
            if not apart:
                break
        assert not apart, f"{phase.name} {apart[:3]}"
