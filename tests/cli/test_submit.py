"""What is sent to a cluster, and what is refused before anything is."""

import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from mien.cli import submit as module
from mien.cli.submit import Wanted, pack, refuse_changed, submit
from mien.cluster.job import ORDER, Order, Stage
from mien.config import MienError, Params, load_params
from mien.tracking.identity import CODE, code_tags
from tests.striped import tiny, write_corpus

REPOSITORY = Path(__file__).parents[2]
ADDRESSES = {"striped": "s3://faces/team/shards/striped-1"}


def git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *who, *words], check=True, capture_output=True)


def checkout(root: Path, params: Params) -> Path:
    """A commit of this repository's code with other params.yaml, and shards as the stages would have made."""
    for name in ("src", "pipeline"):
        shutil.copytree(
            REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for name in ("dvc.yaml", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, root / name)
    (root / "photographs").mkdir()
    (root / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8")
    write_corpus(root / "made")
    for made, stage in (
        ("manifest", "corpora"),
        ("aligned",) * 2,
        ("landmarks",) * 2,
        ("shards/striped", "shards"),
    ):
        (root / "data" / stage).mkdir(parents=True)
        (root / "made" / made).rename(root / "data" / stage / "striped")
    shutil.rmtree(root / "made")
    git(root, "init", "-q")
    git(root, "add", "src", "pipeline", "dvc.yaml", ".gitignore", ".dvcignore", ".dvc", "params.yaml")
    git(root, "commit", "-qm", "code")
    return root


def record(root: Path, *stages: str) -> None:
    """Have DVC take what is there for what these stages made."""
    subprocess.run(
        [sys.executable, "-m", "dvc", "commit", "-q", "-f", *stages],
        cwd=root,
        check=True,
        capture_output=True,
    )


def params(**changed: object) -> Params:
    return tiny(Path("/nowhere"), cluster={"storage": "s3://faces/team"}, **changed)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("checkout"), params())


@pytest.fixture
def stages() -> list[Wanted]:
    words = ("python", "pipeline/train.py", "tiny", "data/shards", "runs/tiny")
    return [Wanted(Stage("train@tiny", words, "runs/tiny"))]


def test_equal_contents_are_one_order_and_anything_else_is_another(root: Path, stages, tmp_path: Path):
    first = pack(root, params(), stages, ADDRESSES, tmp_path)
    data = first.archive.read_bytes()
    again = pack(root, params(), stages, ADDRESSES, tmp_path)
    assert again.order == first.order
    assert again.archive.read_bytes() == data
    moved = pack(root, params(), stages, {"striped": "s3://faces/team/shards/striped-2"}, tmp_path)
    assert moved.order.name != first.order.name
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(f"{text}\n# another\n")
    try:
        assert pack(root, params(), stages, ADDRESSES, tmp_path).order.name != first.order.name
    finally:
        (root / "params.yaml").write_text(text)


def test_the_archive_holds_the_commit_and_nothing_beside_it(root: Path, stages, tmp_path: Path):
    package = pack(root, params(), stages, ADDRESSES, tmp_path)
    with zipfile.ZipFile(io.BytesIO(package.archive.read_bytes())) as zipped:
        names = set(zipped.namelist())
        assert Order.from_json(zipped.read(ORDER).decode()) == package.order
        assert zipped.read("params.yaml") == (root / "params.yaml").read_bytes()
        assert zipped.read("pipeline/train.py") == (REPOSITORY / "pipeline" / "train.py").read_bytes()
    assert {name.split("/")[0] for name in names} == {"src", "pipeline", "dvc.yaml", "params.yaml", ORDER}
    assert package.order.shards == {"data/shards/striped": ADDRESSES["striped"]}
    assert set(package.environment) == {CODE}
    assert json.loads(package.environment[CODE]) == code_tags(root)


def test_files_that_settings_name_are_sent_along(root: Path, stages, tmp_path: Path):
    (root / "weights").mkdir()
    (root / "weights" / "mine.safetensors").write_bytes(b"weights")
    own = {"input_px": 32, "stem": "small", "batch_size": 8, "epochs": 2, "keep": "last"}
    named = params(methods={"resnet18": own | {"weights": "weights/mine.safetensors"}})
    (root / "tuned.json").write_text("{}")
    package = pack(root, named, [Wanted(stages[0].stage, ("tuned.json",))], ADDRESSES, tmp_path)
    with zipfile.ZipFile(package.archive) as zipped:
        assert zipped.read("weights/mine.safetensors") == b"weights"
        assert zipped.read("tuned.json") == b"{}"


def test_code_that_the_commit_lacks_is_refused(root: Path):
    refuse_changed(root)
    code, new = root / "src" / "mien" / "__init__.py", root / "src" / "mien" / "methods" / "new.py"
    text = code.read_text()
    try:
        code.write_text(f"{text}\n")
        new.write_text('"""New."""\n')
        with pytest.raises(MienError, match=r"src/mien/__init__\.py differs .* \(and 1 more\)\."):
            refuse_changed(root)
    finally:
        code.write_text(text)
        new.unlink()
    refuse_changed(root)
    params_text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(f"{params_text}\n# mine\n")
    refuse_changed(root)
    (root / "params.yaml").write_text(params_text)


def test_a_target_that_does_not_exist_or_is_no_training_is_refused(root: Path):
    for target in ("tyni", "shard@striped", "evaluate"):
        with pytest.raises(MienError, match=f"{target} is neither `train` nor an experiment"):
            module._outdated(root, load_params(root / "params.yaml"), [target])


def test_shards_that_are_out_of_date_and_a_local_storage_are_refused(root: Path):
    with pytest.raises(MienError, match=r"train@tiny reads what \w+@\w+ makes, which is out of date"):
        module._outdated(root, load_params(root / "params.yaml"), ["train"])
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("s3://faces/team", "storage"))
    try:
        with pytest.raises(MienError, match=r"cluster\.storage is the path storage.* give s3://"):
            submit(root, ["tiny"], None)
    finally:
        (root / "params.yaml").write_text(text)


@pytest.mark.parametrize("name", ["weights/none.safetensors", "/etc/hostname", "../outside"])
def test_a_named_file_that_cannot_be_sent_is_named(root: Path, stages, tmp_path: Path, name: str):
    own = {"input_px": 32, "stem": "small", "batch_size": 8, "epochs": 2, "keep": "last"}
    with pytest.raises(MienError, match=f"{name}.*(is not there|lies outside)"):
        pack(root, params(methods={"resnet18": own | {"weights": name}}), stages, ADDRESSES, tmp_path)
