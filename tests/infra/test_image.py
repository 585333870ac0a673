"""The container image, as far as it can be judged without building it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.manifests import ROOT

LINES = (ROOT / "infra" / "Dockerfile").read_text().replace("\\\n", " ").splitlines()


def stages() -> dict[str, tuple[str, list[str]]]:
    """Name of each stage -> what it starts from, and its instructions."""
    found: dict[str, tuple[str, list[str]]] = {}
    current: list[str] = []
    for line in LINES:
        if match := re.match(r"FROM (\S+) AS (\S+)", line):
            current = []
            found[match[2]] = (match[1], current)
        elif line and not line.startswith("#"):
            current.append(line)
    return found


def inherited(name: str) -> list[str]:
    start, own = stages()[name]
    return [*(inherited(start) if start in stages() else []), *own]


def test_it_starts_from_pinned_images() -> None:
    starts = [start for start, _ in stages().values() if start not in stages()]
    assert starts
    for start in starts:
        assert re.fullmatch(r"[\w./-]+:3\.11\.\d+-slim-bookworm", start)  # the Python of the lock


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_targets_do_not_run_as_root(target: str) -> None:
    users = [line.split()[1] for line in inherited(target) if line.startswith("USER")]
    assert users
    assert users[-1] == "10001:10001"


def test_packages_are_those_of_the_lock_by_hash() -> None:
    installs = [line for _, own in stages().values() for line in own if "pip install" in line]
    assert any("--require-hashes -r /build/requirements.lock" in line for line in installs)
    for line in installs:
        assert "--no-deps" in line


def test_nothing_private_reaches_the_image() -> None:
    ignored = (ROOT / "infra" / "Dockerfile.dockerignore").read_text().split()
    assert {"data", "runs", "infra/secrets", ".dvc/config.local", ".venv", "mlruns"} <= set(ignored)
    assert not [line for line in LINES if re.match(r"(ARG|ENV).*(PASSWORD|SECRET|TOKEN=)", line)]


def test_what_is_copied_is_there() -> None:
    for _, own in stages().values():
        for line in own:
            if line.startswith("COPY") and "--from" not in line:
                *sources, _ = [word for word in line.split()[1:] if not word.startswith("--")]
                assert all((ROOT / source).exists() for source in sources), line


def test_an_empty_work_volume_gets_the_checkout_and_a_filled_one_stays(tmp_path: Path) -> None:
    checkout, work = tmp_path / "checkout", tmp_path / "work"
    for folder in (checkout / "infra", checkout / ".git", work / ".seeding", work / "src"):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / "infra" / "seed.sh", checkout / "infra")
    (checkout / "dvc.yaml").write_text("stages: {}")
    (checkout / "src").mkdir()
    (checkout / "src" / "code.py").write_text("code")
    (work / "src" / "half.py").write_text("left by one that was killed")

    def seed() -> None:
        subprocess.run(["sh", checkout / "infra" / "seed.sh", work], check=True, timeout=30)

    seed()
    found = sorted(path.relative_to(work).as_posix() for path in work.rglob("*"))
    assert found == [".git", "dvc.yaml", "infra", "infra/seed.sh", "src", "src/code.py"]
    (work / "src" / "code.py").write_text("my own")
    seed()
    assert (work / "src" / "code.py").read_text() == "my own"
