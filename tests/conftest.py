"""What tests of several rooms share. Any test can import the modules beside this file."""

import os
from collections.abc import Iterator

import pytest
import torch

from mien.cluster.environment import prepare_environment
from tests.two_ranks import TwoRanks

# collecting the tests imports ray, which reads these only then; a stage sets them before it imports ray
prepare_environment()
os.environ["RAY_AUTH_MODE"] = "token"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `-n`: one worker has all that starts Ray or MLflow, one the two ranks; else a module stays whole.

    A module that is slow without Ray may name a group of its own.
    """
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        group = str(item.path)
        if item.get_closest_marker("slow"):
            group = "slow"
        elif "two_ranks" in getattr(item, "fixturenames", ()):
            group = "two ranks"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny networks lose time to threads, and two ranks on two cores lose more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoRanks]:
    """Two processes with a gloo group, started once a session."""
    pool = TwoRanks(tmp_path_factory.mktemp("ranks") / "meeting")
    yield pool
    pool.close()
