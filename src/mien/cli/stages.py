"""DVC as a command runs it: in the checkout, by the Python that runs mien."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

LEFT = 3
"""Exit code of what trains several experiments, where one has failed that its own stage tries again."""

BESIDE = 4
"""DVC processes at most: after each stage one writes dvc.lock while the others wait."""


def run_dvc(root: Path, *words: str) -> int:
    """Run `dvc WORDS` and give its exit code; its output goes where ours goes."""
    return _started(root, words).wait()


def repro_beside(root: Path, *chains: Sequence[str]) -> int:
    """Run stages that are out of date, a chain of them after another; the first exit code that is not 0.

    A process takes every n-th chain, n being the cores. What chains have in common must be up to date: DVC
    looks at nothing but the stages named here, as it locks whatever it looks at.
    """
    share = min(len(chains), os.cpu_count() or 1, BESIDE)
    with ExitStack() as stack:  # which waits for all, whatever happens
        started = [
            stack.enter_context(
                _started(root, ("--wait-for-lock", "repro", "--single-item", *chain(*chains[first::share])))
            )
            for first in range(share)
        ]
    return next((each.returncode for each in started if each.returncode), 0)


def _started(root: Path, words: Sequence[str]) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    return subprocess.Popen([sys.executable, "-m", "dvc", *words], cwd=root, env=environment)
