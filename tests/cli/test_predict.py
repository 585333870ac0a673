"""`mien predict` on pictures and videos."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mien import methods
from mien.cli.app import app
from mien.cli.predict import load_predictor, predict_sources
from mien.cli.sources import sources
from mien.cli.video import Copy, Video
from mien.config import MienError
from mien.config.faces import Align, Landmarks
from mien.config.serve import Predict
from mien.evaluation.inference import Predictor
from mien.manifest.pictures import Reject
from tests import tiny
from tests.faces.photographs import guises

ROOT = Path(__file__).parents[2]
ABOUT = {
    "align": Align(crop_px=48).model_dump(mode="json"),
    "landmarks": Landmarks().model_dump(mode="json"),
}
SIDE = 192


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, two pictures with a face, one without, one that is none, and a video: face, nobody, face."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, root)
    methods.save(tiny.trained("linear_svm"), "linear_svm", root / "model", ABOUT)
    (root / "in" / "deep").mkdir(parents=True)
    one, two = guises(2, side=SIDE)
    Image.fromarray(one).save(root / "in" / "one.png")
    Image.fromarray(two).save(root / "in" / "deep" / "one.png")
    Image.new("RGB", (SIDE, SIDE), "grey").save(root / "in" / "nobody.jpg")
    (root / "in" / "text.jpg").write_text("not a picture")
    frames = [*[one] * 8, *[np.full_like(one, 90)] * 4, *[two] * 8]
    with Copy(root / "clip.mp4", 10.0) as video:
        for frame in frames:
            video.add(Image.fromarray(frame))
    return root


@pytest.fixture(scope="module")
def predictor(checkout: Path) -> Predictor:
    return load_predictor(checkout, str(checkout / "model"), landmarks=True)


def test_a_video_is_read_frame_by_frame(checkout: Path) -> None:
    video = Video(checkout / "clip.mp4")
    assert (video.frames, video.rate) == (20, 10)
    read = list(video.read())
    assert [time for time, _ in read] == pytest.approx([k / 10 for k in range(20)], abs=1e-3)
    assert all(frame.shape == (SIDE, SIDE, 3) for _, frame in read)
    wanted = guises(2, side=SIDE)
    for k, guise in ((0, wanted[0]), (19, wanted[1])):  # compressed, and red still red
        assert np.abs(read[k][1].astype(int) - guise).mean() < 12
    assert np.abs(read[10][1].astype(int) - 90).mean() < 4


@pytest.mark.parametrize("bad", ["empty.mp4", "text.mp4", "missing.mp4", "picture%02d.mp4", "folder.mp4"])
def test_what_is_no_video_is_a_row_with_the_reason(bad: str, tmp_path: Path, predictor: Predictor) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video " * 1000)
    Image.new("RGB", (32, 32)).save(tmp_path / "picture00.png")
    with pytest.raises(Reject):
        Video(tmp_path / bad)
    (row,) = predict_sources(predictor, sources([tmp_path / bad]), None, Predict())
    assert row["reason"] in ("not a video", "unreadable: not a file")


def test_a_video_has_a_row_a_frame_and_a_smoothed_timeline(
    checkout: Path, predictor: Predictor, tmp_path: Path
) -> None:
    rows = list(
        predict_sources(
            predictor, sources([checkout / "clip.mp4"]), tmp_path, Predict(batch_pictures=3, smooth_s=0.35)
        )
    )
    assert [row["frame"] for row in rows] == list(range(20))
    assert [row["probabilities"] is not None for row in rows] == [True] * 8 + [False] * 4 + [True] * 8
    assert {row["reason"] for row in rows[8:12]} == {"no face"}
    assert all(row["smoothed"] is None for row in rows[8:12])
    for row in rows[:8]:
        assert sum(row["smoothed"].values()) == pytest.approx(1)
    weights = np.maximum(0, 1 - np.abs(np.arange(8) - 3) * 0.1 / 0.35)
    middle = {n: np.average([r["probabilities"][n] for r in rows[:8]], weights=weights) for n in tiny.CLASSES}
    assert rows[3]["smoothed"] == pytest.approx(middle, abs=1e-6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "clip.timeline.png"]
    drawn = list(Video(tmp_path / "clip.mp4").read())
    assert len(drawn) == 20
    assert drawn[0][1].shape[1] == 640


def test_a_video_that_breaks_off_says_so(checkout: Path, predictor: Predictor, tmp_path: Path) -> None:
    # the index is at the end of an MP4, so that a cut one is none; an AVI is read as far as it goes
    writer = cv2.VideoWriter(
        str(tmp_path / "whole.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 64)
    )
    for guise in guises(20, side=64):
        writer.write(cv2.cvtColor(guise, cv2.COLOR_RGB2BGR))
    writer.release()
    data = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    rows = list(predict_sources(predictor, sources([tmp_path / "cut.avi"]), None, Predict()))
    assert 5 < len(rows) < 15
    assert rows[-1]["frame"] is None
    assert rows[-1]["reason"].startswith(f"breaks off: {len(rows) - 1} of about 20")


def test_batches_and_order_change_no_row(checkout: Path, predictor: Predictor) -> None:
    found = sources([checkout / "in" / "text.jpg", checkout / "in", checkout / "clip.mp4"])
    one, all_at_once = (
        list(predict_sources(predictor, found, None, Predict(batch_pictures=size))) for size in (1, 64)
    )
    assert [Path(row["picture"]).name for row in one[:4]] == ["text.jpg", "one.png", "nobody.jpg", "one.png"]
    for alone, together in zip(one, all_at_once, strict=True):
        assert alone.pop("probabilities") == pytest.approx(together.pop("probabilities"), abs=1e-6)
        assert alone.pop("smoothed") == pytest.approx(together.pop("smoothed"), abs=1e-6)
        assert alone == together


def test_copies_keep_the_tree_and_never_overwrite_each_other(
    checkout: Path, predictor: Predictor, tmp_path: Path
) -> None:
    list(predict_sources(predictor, sources([checkout / "in"]), tmp_path, Predict()))
    drawn = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.png"))
    assert drawn == ["deep/one.png", "nobody.png", "one.png"]
    box = next(iter(predict_sources(predictor, sources([checkout / "in" / "one.png"]), None, Predict())))[
        "box"
    ]
    image, scale = np.asarray(Image.open(tmp_path / "one.png")).astype(int), 640 / SIDE
    left, middle = round(box[0] * scale), round((box[1] + box[3]) / 2 * scale)
    assert (
        np.abs(image[middle, left - 1 : left + 3] - (0, 229, 255)).sum(axis=1).min() == 0
    )  # the box's left edge
    twice = sources([checkout / "in" / "one.png", checkout / "in" / "deep" / "one.png"])
    with pytest.raises(MienError, match=r"would both be drawn to one.png; rename one"):
        list(predict_sources(predictor, twice, tmp_path, Predict()))


def test_the_command_writes_a_file_and_exits_with_3(checkout: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(checkout)
    done = CliRunner().invoke(
        app, ["predict", "model", "in", "clip.mp4", "--out", str(tmp_path / "out.json")]
    )
    assert done.exit_code == 3, done.output
    assert f"{tmp_path / 'out.json'}: 5 read, 2 of them without a face" in done.stdout
    assert len(json.loads((tmp_path / "out.json").read_text())) == 4 + 20
    done = CliRunner().invoke(app, ["predict", "model", "in/one.png", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)[0]["expression"] in tiny.CLASSES
    done = CliRunner().invoke(app, ["predict", "model", "in/one.png", "--out", "out.txt"])
    assert isinstance(done.exception, MienError)
