"""What tests of several rooms share. Any test can import the modules beside this file."""

import os
from collections.abc import Iterator

import pytest
import torch
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from mien.cluster.environment import prepare_environment
from tests.two_ranks import TwoRanks

# collecting the tests imports ray, which reads these only then; a stage sets them before it imports ray
prepare_environment()
os.environ["RAY_AUTH_MODE"] = "token"

RAY_OR_MLFLOW = ("tests/cluster/", "tests/tracking/", "tests/infra/test_local.py")


class OneRayAtATime(LoadFileScheduling):
    """With `-n`: a file stays on one worker, and all files that start Ray or MLflow share one."""

    def _split_scope(self, nodeid: str) -> str:
        return "ray" if nodeid.startswith(RAY_OR_MLFLOW) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneRayAtATime:
    """Groups marked for `--dist loadgroup` do not reach xdist 3.8 under pytest 9.2."""
    return OneRayAtATime(config, log)


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
