"""`mien retrain` on rendered people who arrive as photographs in folders: new ones, mislabelled ones, none.

Real DVC digests, a real registry, real models; the stages run in this process, without Ray.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo
from PIL import Image

from mien.cli.retrain import HOME, LOCK, STATE, Outcome, Retraining, retrain
from mien.cluster import align, landmarks
from mien.config import load_params, parse_section
from mien.config.corpora import RenderedCorpus
from mien.corpora import make_corpus, picture_root
from mien.corpora.rendered import render_corpus
from mien.evaluation.drift import AGREEMENT
from mien.evaluation.results import write_json
from mien.evaluation.stage import evaluate_experiment
from mien.shards.writer import write_shards
from mien.tracking.experiment import finished, track
from mien.tracking.promotion import champion
from mien.tracking.records import history
from mien.tracking.registry import register
from mien.tracking.server import connect
from mien.training.kept import fetched, write_run
from mien.training.plan import make_plan
from tests import striped
from tests.corpora.rendered_cache import basis_folder
from tests.pipeline.miniatures import Faces, faces_of
from tests.pipeline.test_paper import mapped_here

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
CLASSES = ["neutral", "happy", "surprise"]
FEW, MORE, FROZEN = range(9), range(17), range(25, 37)
WRONG = [*range(17, 25), *range(37, 43)]
FOLDER = {"kind": "folder", "classes": {name: name for name in CLASSES}, "subject_regex": r"^(p\d+)_"}
PARAMS: dict[str, Any] = {
    "preset": "ci",
    "corpora": {"photos": FOLDER | {"source": "photos"}, "frozen": FOLDER | {"source": "frozen"}},
    "align": {"crop_px": 64},
    "shard": {"folds": 3, "phash_distance": 0},
    "methods": {"linear_svm": {"features": "hog", "input_px": 32, "C": 0.1}},
    "experiments": {
        "svm": {
            "method": "linear_svm", "corpus": "photos", "second_corpus": "photos", "folds": [0], "validation_share": 0.15,
        }
    },
    "evaluate": {"resamples": 100},
    "promotion": {"frozen": {"photos": "frozen"}, "max_class_loss": 0.25, "max_p": 0.2, "drift": {"min_faces": 10, "max_p": 0.05}},
}  # fmt: skip


class Checkout:
    """A checkout in small: photographs, DVC, and the stages."""

    def __init__(self, root: Path, faces: Faces) -> None:
        self.root, self.faces = root, faces
        self.ran: list[str] = []
        (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
        (root / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
        Repo.init(str(root), no_scm=True).close()
        self.arrive(FROZEN, into="frozen")

    def arrive(
        self, people: Sequence[int], wrong: int = 0, into: str = "photos", one_each: bool = False
    ) -> None:
        """Pictures of some people in the folders of their classes, or of the class `wrong` further on.

        one_each: one expression a person, so that a model learns who they are: a champion to be beaten.
        """
        for number, name in enumerate(CLASSES):
            folder = self.root / into / CLASSES[(number + wrong) % len(CLASSES)]
            folder.mkdir(parents=True, exist_ok=True)
            for person in people if not one_each else people[number :: len(CLASSES)]:
                Image.fromarray(self.faces[person, name]).save(
                    folder / f"p{person:03d}_{name}.jpg", quality=95
                )

    def stages(self, names: Sequence[str]) -> int:
        """What `dvc repro` does of them."""
        self.ran += names
        for name in names:
            stage, _, item = name.partition("@")
            {
                "download": self._download,
                "shard": self._shard,
                "register": self._register,
                "report": self._report,
            }[stage](item)
        return 0

    def call(self) -> Retraining:
        self.ran.clear()
        return retrain(self.root, self.stages)

    def _download(self, name: str) -> None:
        params = load_params(self.root / "params.yaml")
        make_corpus(
            name, params.corpora[name], Path("data/corpora") / name, self.root, lambda done, total: None
        )

    def _shard(self, name: str) -> None:
        self._download(name)
        params, data = load_params(self.root / "params.yaml"), Path("data")
        manifest, aligned, points = (data / stage / name for stage in ("corpora", "aligned", "landmarks"))
        manifest /= "manifest.parquet"
        for old in (*aligned.glob("*"), *points.glob("*")):
            old.unlink()
        where = picture_root(params.corpora[name], manifest.parent)
        align.align_corpus(name, where, manifest, aligned, params.align, params.cluster)
        landmarks.place_landmarks(name, manifest, aligned, points, params)
        inputs = {"manifest": manifest, "aligned": aligned, "landmarks": points / "points.parquet"}
        write_shards(name, **inputs, into=data / "shards" / name, params=params.shard)

    def _register(self, name: str) -> None:
        params = load_params(self.root / "params.yaml")
        plan = make_plan(params, name, Path("data/shards"))
        striped.trained_here(plan)
        run, results = Path("runs") / name, Path("results") / name
        tracker = track(plan, self.root)
        with fetched(plan) as kept:
            write_run(plan, kept, run, tracker.finish(finished(plan, kept)))
        evaluate_experiment(name, plan.shards / "photos", run, results, params)
        write_json(register(name, run, results, params, self.root), Path("registered") / f"{name}.json")

    def _report(self, _: str) -> None:
        page = self.root / "reports/index.html"
        page.parent.mkdir(exist_ok=True)
        page.write_text("the report's own tests are elsewhere")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Faces:
    told = {
        "kind": "rendered",
        "picture_px": 96,
        "people": 43,
        "expressions": CLASSES,
        "occluder_share": 0.0,
        "intensity": [0.8, 1.0],
    }
    folder = tmp_path_factory.mktemp("rendered")
    config = parse_section(RenderedCorpus, told, "RENDERED", "")
    render_corpus("rendered", config, folder, basis_folder(tmp_path_factory), workers=2)
    return faces_of(folder)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, faces: Faces) -> Any:
    root = tmp_path_factory.mktemp("checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(align, "map_blocks", mapped_here)
        patch.setattr(landmarks, "map_blocks", mapped_here)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("MIEN_NOTIFY_URL", raising=False)
        patch.chdir(root)
        yield Checkout(root, faces)


def test_people_arrive_rightly_and_wrongly_labelled_and_not_at_all(checkout: Checkout) -> None:
    client = connect(checkout.root)

    checkout.arrive(FEW, one_each=True)
    first = checkout.call()
    assert first.outcome is Outcome.PROMOTED, first.lines
    assert champion(client, "mien-svm") == 1
    assert checkout.ran == ["shard@photos", "download@frozen", "register@svm", "report"]

    assert checkout.call().outcome is Outcome.NOTHING_NEW
    assert checkout.ran == []

    checkout.arrive(MORE)
    better = checkout.call()
    assert better.outcome is Outcome.PROMOTED, better.lines
    assert champion(client, "mien-svm") == 2

    checkout.arrive(WRONG, wrong=1)
    worse = checkout.call()
    assert worse.outcome is Outcome.KEPT, worse.lines
    assert champion(client, "mien-svm") == 2
    told = worse.facts["svm"]
    assert (told["old"], told["new"], told["decision"]) == (2, 3, "kept")
    assert AGREEMENT in {shift["name"] for shift in told["drift"]["shifts"] if shift["drifted"]}
    run = client.get_run(told["run_id"])
    assert run.data.metrics[f"drift/{AGREEMENT} effect"] > 0.3
    assert AGREEMENT in run.data.tags["drift"]
    assert {file.path for file in client.list_artifacts(told["run_id"])} >= {
        "drift.json",
        "record.json",
        "index.html",
    }
    assert any(line.strip().startswith(f"DRIFT in {AGREEMENT}") for line in worse.lines)


@pytest.mark.parametrize("after", ["shard@photos", "register@svm", "report"])
def test_a_call_that_was_killed_is_finished_by_the_next(checkout: Checkout, after: str) -> None:
    """The process ends when a stage has just been done; what was judged is not judged again."""
    client = connect(checkout.root)
    person = {"shard@photos": 7, "register@svm": 8, "report": 9}[after]
    (checkout.root / "photos" / "happy" / f"p{person:03d}_happy.jpg").unlink()

    def dying(names: Sequence[str]) -> int:
        checkout.stages(names)
        if after in names:
            raise KeyboardInterrupt
        return 0

    with pytest.raises(KeyboardInterrupt):
        retrain(checkout.root, dying)
    before = len(history(client, "mien-svm"))
    done = checkout.call()
    assert done.outcome in (Outcome.PROMOTED, Outcome.KEPT)
    assert "drift" in done.facts["svm"]
    assert len(history(client, "mien-svm")) == before + (after != "report")
    assert checkout.call().outcome is Outcome.NOTHING_NEW
    state = json.loads((checkout.root / "storage" / HOME / STATE).read_text())
    assert set(state) == {"finished"}


def test_a_second_call_at_the_same_time_leaves_at_once(checkout: Checkout) -> None:
    holder = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True); "
        "sys.stdin.read()"
    )
    words = [sys.executable, "-c", holder, str(checkout.root / LOCK)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert checkout.call().outcome is Outcome.BUSY
        other.kill()
    assert checkout.call().outcome is Outcome.NOTHING_NEW
