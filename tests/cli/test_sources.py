from pathlib import Path

import pytest

from mien.cli.sources import sources
from mien.config import MienError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.JPG", "a.png", "deep/c.webp", "deep/clip.mp4", "deep/notes.txt", "odd[1].jpg"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "in" / "folder.jpg").mkdir()
    return tmp_path / "in"


def named(words: list[Path]) -> list[str]:
    return [str(source.name) for source in sources(words)]


def test_a_folder_is_all_pictures_and_videos_below_it(tree: Path) -> None:
    assert named([tree]) == ["a.png", "b.JPG", "deep/c.webp", "deep/clip.mp4", "odd[1].jpg"]
    assert [source.is_video for source in sources([tree])] == [False, False, False, True, False]


def test_a_pattern_is_as_the_shell_has_it(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert named([tree / "*.png"]) == ["a.png"]
    assert named([tree / "*" / "c*"]) == ["deep/c.webp", "deep/clip.mp4"]
    assert named([tree / "**" / "*.*p*"]) == ["a.png", "deep/c.webp", "deep/clip.mp4", "odd[1].jpg"]
    monkeypatch.chdir(tree)
    assert named([Path("d*/cl?p.mp4")]) == ["deep/clip.mp4"]


def test_a_file_is_taken_whatever_its_name_and_only_once(tree: Path) -> None:
    assert named([tree / "deep" / "notes.txt", tree / "missing.jpg"]) == ["notes.txt", "missing.jpg"]
    assert named([tree / "odd[1].jpg"]) == ["odd[1].jpg"]
    assert named([tree / "a.png", tree, tree / "a.png"])[:2] == ["a.png", "b.JPG"]


def test_what_has_none_is_an_error(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MienError, match="empty has no pictures or videos"):
        sources([tmp_path / "empty"])
    with pytest.raises(MienError, match=r"no picture or video is named like .*\*.bmp"):
        sources([tree / "*.bmp"])
