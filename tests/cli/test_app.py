"""The mien command, as typed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def mien(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    code = "from mien.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a checkout, with the presets."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    return tmp_path


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, mien.cli.app; sys.exit(','.join(m for m in ('torch', 'ray', 'mlflow', 'pandas', 'numpy') if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (1, "")  # sys.exit of a string gives 1


@pytest.mark.parametrize(
    "command",
    [
        "doctor",
        "preset",
        "corpora",
        "methods",
        "train",
        "predict",
        "serve",
        "export",
        "report",
        "push",
        "ui",
        "repro",
    ],
)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = mien(command, "--help")
    assert done.returncode == 0
    words = " ".join(done.stdout.split())
    assert f"Example: mien {command}" in words


def test_preset_writes_params_and_keeps_changes_of_ones_own(checkout: Path) -> None:
    assert mien("preset", "ci", cwd=checkout).returncode == 0
    assert (checkout / "params.yaml").read_bytes() == (ROOT / "presets" / "ci.yaml").read_bytes()
    assert not (checkout / "params.yaml.before").exists()
    (checkout / "params.yaml").write_text("mine: 1\n")
    done = mien("preset", "demo", cwd=checkout)
    assert "params.yaml.before" in done.stderr
    assert (checkout / "params.yaml.before").read_text() == "mine: 1\n"


def test_preset_paper_names_what_it_leaves_out(checkout: Path) -> None:
    done = mien("preset", "paper", cwd=checkout)
    assert done.returncode == 0
    assert "rafd: data/raw/rafd is missing or empty; ask Radboud University: https://rafd.nl" in done.stdout
    assert "    resnet18-rafd, resnet18-people-rafd, hsnet-rafd" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["preset", "dmeo"], "error: dmeo is not a preset; there are ci, demo, paper, study."),
        (["train", "nothing"], "error: nothing is not an experiment of params.yaml; it has "),
    ],
)
def test_a_mistake_is_one_line_and_code_2(words: list[str], sentence: str) -> None:
    done = mien(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def test_outside_a_checkout_it_says_so(tmp_path: Path) -> None:
    done = mien("corpora", cwd=tmp_path)
    assert done.returncode == 2
    assert "not inside a mien checkout" in done.stderr


def test_doctor_exits_with_1_on_params_that_cannot_run(checkout: Path) -> None:
    text = (checkout / "params.yaml").read_text().replace("preset: demo", "preset: demo\nbanana: 1")
    (checkout / "params.yaml").write_text(text)
    done = mien("doctor", "--json", cwd=checkout)
    assert done.returncode == 1
    bad = [f for f in json.loads(done.stdout) if f["state"] == "bad"]
    assert [f["what"] for f in bad] == ["params.yaml"]
    assert "banana is not a key" in bad[0]["advice"]


def test_doctor_is_content_with_this_checkout() -> None:
    done = mien("doctor", "--json")
    assert [f for f in json.loads(done.stdout) if f["state"] == "bad"] == []
    assert done.returncode == 0


def test_methods_at_the_papers_sizes() -> None:
    listed = {m["name"]: m for m in json.loads(mien("methods", "--json").stdout)}
    hsnet = listed["hsnet"]
    assert (hsnet["parameters"], hsnet["trainable"]) == (15_433_240, 14_817_688)
    assert hsnet["gmacs"] == pytest.approx(1.89, abs=0.005)
    baseline = next(v for v in hsnet["variants"] if v["name"] == "inception-resnet-v1")
    assert baseline["parameters"] == 22_576_647
    assert {"name", "paper", "parameters", "trainable", "gmacs", "phases", "needs"} <= set(hsnet)
    eight = {m["name"]: m for m in json.loads(mien("methods", "--classes", "8", "--json").stdout)}
    assert eight["hsnet"]["parameters"] == 15_436_187


def test_corpora_lists_what_is_there_and_whom_to_ask_for_the_rest(checkout: Path) -> None:
    listed = json.loads(mien("corpora", "--json", cwd=checkout).stdout)
    rendered, _frozen, *papers = listed
    assert (rendered["name"], rendered["kind"], rendered["state"]) == (
        "rendered",
        "rendered",
        "source missing",
    )
    assert {row["state"] for row in papers} == {"not in params.yaml"}
    raf = next(row for row in papers if row["kind"] == "raf_db")
    assert raf["used_by"] == ["HS-OCFER", "HSNet", "EAN"]
    assert "12,271 + 3,068" in raf["official_size"]
    printed = " ".join(mien("corpora", cwd=checkout).stdout.split())
    assert "rendered source missing" in printed
    assert raf["ask"] in printed
    assert raf["put"] in printed


def test_corpora_add_puts_an_archive_where_params_say(checkout: Path) -> None:
    mine = "  mine:\n    kind: folder\n    source: data/mine\n    classes: {glad: happy}\n"
    text = (checkout / "params.yaml").read_text().replace("corpora:\n", f"corpora:\n{mine}", 1)
    (checkout / "params.yaml").write_text(text)
    (checkout / "got" / "glad").mkdir(parents=True)
    (checkout / "got" / "glad" / "1.jpg").write_bytes(b"1")
    archive = shutil.make_archive(str(checkout / "got"), "zip", checkout / "got")
    done = mien("corpora", "add", "mine", archive, cwd=checkout)
    assert (done.returncode, (checkout / "data" / "mine" / "glad" / "1.jpg").read_bytes()) == (0, b"1")
    assert "corpora.mine is in" in done.stdout
    assert json.loads(mien("corpora", "--json", cwd=checkout).stdout)[0]["state"] == "source present"
    done = mien("corpora", "add", "nine", archive, cwd=checkout)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "error: nine is not a corpus of params.yaml, which has mine, rendered, frozen; add it there."
    )
