"""DVC as a command runs it: in the checkout, by the Python that runs mien."""

import os
import subprocess
import sys
from pathlib import Path


def run_dvc(root: Path, *words: str) -> int:
    """Run `dvc WORDS` and give its exit code; its output goes where ours goes."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    return subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=root, env=environment, check=False
    ).returncode
