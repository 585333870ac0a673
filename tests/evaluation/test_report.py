import base64
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from mien.config import MienError
from mien.evaluation.predictions import CURVES
from mien.evaluation.report import build_report
from mien.evaluation.stage import evaluate_experiment
from mien.manifest.tables import write_table
from tests.evaluation import tree

CAUGHT = {"check": True, "capture_output": True, "text": True}
EMBEDDED = re.compile(r"data:image/(png|jpeg);base64,([A-Za-z0-9+/=]+)")


def build(root, settings, into="reports"):
    build_report(root / "data", root / "results", root / "runs", root / into, settings, "0123abc")
    return root / into


def evaluate(root, name, settings):
    corpus = settings.experiments[name].corpus
    evaluate_experiment(
        name, root / "data/shards" / corpus, root / "runs" / name, root / "results" / name, settings
    )


def with_photographs(root, gated, allow_push=False):
    corpora = tree.params().model_dump()["corpora"]
    corpora["mine"] |= {"source": str(root / "photographs"), "gated": gated, "allow_push": allow_push}
    return corpora


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    settings = tree.params(corpora=with_photographs(root, gated=True))
    index = tree.make_corpus("toy", root / "data", settings)
    tree.make_corpus("mine", root / "data", settings, photographs=root / "photographs", people=4)
    for name, skill in (("plain", 0.5), ("better", 3.0)):
        tree.make_run(name, index, root / "runs", settings, skill)
        evaluate(root, name, settings)
    build(root, settings)
    return root


def pictures(page):
    return [base64.b64decode(data) for _, data in EMBEDDED.findall(page)]


def magenta(data):
    colour = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float).mean(axis=(0, 1))
    return bool(np.abs(colour - tree.MAGENTA).max() < 60)


def test_page_and_table_hold_the_figures(made):
    page, table = ((made / "reports" / name).read_text() for name in ("index.html", "results.md"))
    for name in ("plain", "better"):
        metrics = json.loads((made / "results" / name / "metrics.json").read_text())
        bounds = [f"{metrics['mean_accuracy'][b] * 100:.1f}" for b in ("mean", "low", "high")]
        for text in (page, table):
            assert f"{bounds[0]} ({bounds[1]} to {bounds[2]})" in text
            assert f"{metrics['macro_f1']['mean'] * 100:.1f}" in text
    for text in (page, table):
        assert "RAF-DB: 84.54 overall, 70.11 mean" in text
        assert "33.3" in text  # chance of three classes
        assert "0123abc" in text
        assert "people are never shared" in text
        assert "drawn by a computer" in text
        assert "Article 5(1)(f)" in text
        assert "72 faces of 8 people tested" in text
    assert "truncated or damaged" in page
    assert "5.2" in page  # the landmarks' error
    assert "random" in page  # the record's stem
    both = json.loads((made / "reports/metrics.json").read_text())
    assert both["better"] == json.loads((made / "results/better/metrics.json").read_text())


def test_the_difference_is_that_of_the_means(made):
    metrics = json.loads((made / "reports/metrics.json").read_text())
    points = (metrics["better"]["mean_accuracy"]["mean"] - metrics["plain"]["mean_accuracy"]["mean"]) * 100
    line = next(
        x for x in (made / "reports/results.md").read_text().splitlines() if x.startswith("| better | plain")
    )
    assert f"{points:+.1f} (" in line
    assert line.endswith("| higher |")


def test_the_page_needs_nothing_outside_itself(made):
    page = (made / "reports/index.html").read_text()
    bare = EMBEDDED.sub("", page)
    assert "<script" not in bare
    assert not re.search(r"https?://|@import|url\(", bare)
    assert not re.search(r'(src|href)="(?!data:|#|")', bare.replace('src=""', ""))


def test_the_page_is_well_formed_and_every_picture_has_words(made):
    page = (made / "reports/index.html").read_text()
    left = Balance()
    left.feed(page)
    assert left.open == []
    assert left.images
    assert all(alt and alt.strip() for alt in left.images)
    assert len(left.images) == len(pictures(page))
    assert page.startswith("<!doctype html>")


class Balance(HTMLParser):
    """Elements that are not closed, and the words of each picture."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self):
        super().__init__()
        self.open, self.images = [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs).get("alt"))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag


def test_pictures_of_a_gated_corpus_are_nowhere(made):
    assert not any(magenta(data) for data in pictures((made / "reports/index.html").read_text()))
    assert "gated by its owner" in (made / "reports/index.html").read_text()
    secret = [path.read_bytes() for path in (made / "photographs").iterdir()]
    for file in (path for path in (made / "reports").rglob("*") if path.is_file()):
        data = file.read_bytes()
        assert not any(picture in data or base64.b64encode(picture) in data for picture in secret)


@pytest.mark.parametrize(
    ("gated", "allowed", "wanted", "seen"),
    [
        (True, False, True, False),
        (True, True, True, True),
        (True, True, False, False),
        (False, False, False, False),
        (False, False, True, True),
    ],
)
def test_photographs_are_shown_only_when_asked_for_and_allowed(made, gated, allowed, wanted, seen):
    settings = tree.params(
        corpora=with_photographs(made, gated, allowed),
        report={"people_on_sheet": 2, "faces_with_landmarks": 2, "show_photographs": wanted},
    )
    page = (build(made, settings, f"shown-{gated}-{allowed}-{wanted}") / "index.html").read_text()
    assert any(magenta(data) for data in pictures(page)) is seen


def test_the_rendered_corpus_is_shown(made):
    page = (made / "reports/index.html").read_text()
    # an example, three people with three expressions each (one has no file), four faces with landmarks
    assert sum(kind == "jpeg" for kind, _ in EMBEDDED.findall(page)) == 1 + 3 * 3 - 1 + 4


def test_the_same_inputs_give_the_same_bytes(made):
    again = build(made, tree.params(corpora=with_photographs(made, gated=True)), "again")
    for file in (path for path in again.rglob("*") if path.is_file()):
        assert file.read_bytes() == (made / "reports" / file.relative_to(again)).read_bytes(), file.name


def test_one_fold_one_seed_no_paper_and_no_second_experiment(made):
    entry = {"method": "resnet18", "corpus": "toy", "second_corpus": "toy", "folds": [1], "seeds": [3]}
    root = made / "single"
    settings = tree.params(
        experiments={"only": entry}, corpora={"toy": tree.params().model_dump()["corpora"]["toy"]}
    )
    index = tree.make_corpus("toy", root / "data", settings)
    (root / "data/landmarks/toy/landmarks.json").unlink()
    tree.make_run("only", index, root / "runs", settings, 1.0)
    write_table(CURVES.empty_table(), root / "runs/only/curves.parquet", CURVES)
    evaluate(root, "only", settings)
    page = (build(root, settings) / "index.html").read_text()
    assert "person by person" not in page
    assert "Landmarks (" not in page
    assert "without epochs: only" in page
    assert "only" in page


def test_folds_by_picture_are_said_aloud(made):
    root, entry = made / "loud", {"method": "resnet18", "corpus": "toy", "second_corpus": "toy", "folds": [0]}
    corpora = {"toy": tree.params().model_dump()["corpora"]["toy"]}
    settings = tree.params(
        experiments={"only": entry},
        corpora=corpora,
        shard={"folds": 2, "by": "picture", "max_reject_share": 0.1},
    )
    tree.make_run("only", tree.make_corpus("toy", root / "data", settings), root / "runs", settings, 1.0)
    evaluate(root, "only", settings)
    build(root, settings)
    page, table = ((root / "reports" / name).read_text() for name in ("index.html", "results.md"))
    assert 'class="loud"' in page
    assert "the parts of a fold may share people" in page
    assert "folds by PICTURE" in table


def test_without_any_result_the_stage_says_so(made):
    with pytest.raises(MienError, match="holds no results"):
        build_report(made / "data", made / "nowhere", made / "runs", made / "no", tree.params(), "0123abc")


def test_dvc_shows_a_row_an_experiment_and_every_plot(made, tmp_path):
    """What dvc.yaml names below `metrics` and `plots` is what the report writes."""
    repo = tmp_path / "repo"
    shutil.copytree(made / "reports", repo / "reports")
    whole = yaml.safe_load((Path(__file__).parents[2] / "dvc.yaml").read_text())
    (repo / "dvc.yaml").write_text(yaml.safe_dump({name: whole[name] for name in ("metrics", "plots")}))
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=repo, check=True)
    shown = subprocess.run([sys.executable, "-m", "dvc", "metrics", "show", "--md"], cwd=repo, **CAUGHT)
    rows = [line for line in shown.stdout.splitlines() if "reports/metrics/" in line]
    assert len(rows) == 2
    assert "mean_accuracy_low" in shown.stdout
    subprocess.run([sys.executable, "-m", "dvc", "plots", "show", "-q"], cwd=repo, **CAUGHT)
    page = (repo / "dvc_plots/index.html").read_text()
    assert all(name in page for name in ("validation_mean_accuracy", '"actual"', '"experiment"'))
    drawn = sorted(path.name for path in (repo / "dvc_plots/static").iterdir())
    assert len(drawn) == len(list((made / "reports/plots/pictures").iterdir())) == 7
