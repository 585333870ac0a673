"""A miniature of each official corpus in its owner's layout, made of rendered faces that a detector finds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mien.corpora import affectnet, expw, ferg_db, ferplus, kdef, multi_pie, oulu_casia, raf_db, rafd
from mien.corpora.ck_plus import CODES as CK_PLUS
from mien.manifest.pictures import decode, read_bytes
from mien.manifest.tables import MANIFEST, read_table
from tests.corpora.trees import write

Faces = dict[tuple[int, str], np.ndarray]
"""Person and expression to (H, W, 3) RGB."""

MMI = {"1": "anger", "2": "disgust", "3": "fear", "4": "happy", "5": "sad", "6": "surprise"}
CFEE = {"happy": "happy", "sad": "sad", "surprised": "surprise", "fearful": "fear", "disgusted": "disgust"}
SEQUENCES_OF = 4  # people: sequences are many pictures


def faces_of(rendered: Path) -> Faces:
    """The pictures of a rendered corpus, one a person and expression."""
    rows = read_table(rendered / "manifest.parquet", MANIFEST).to_pylist()
    people = {name: n for n, name in enumerate(sorted({row["subject"] for row in rows}))}
    return {
        (people[row["subject"]], row["expression"]): decode(
            read_bytes(rendered, row["path"], row["offset"], row["size"])
        )
        for row in rows
    }


def plant(kind: str, root: Path, faces: Faces) -> None:
    """Write the miniature tree of a kind of corpus below root."""
    TREES[kind](root, faces)


def _picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **({} if path.suffix == ".png" else {"quality": 92}))


def _onset(faces: Faces, person: int, word: str) -> np.ndarray:
    """The neutral frame that a sequence begins with: no other sequence has the same bytes."""
    shade = sum(map(ord, word)) % 29
    return np.clip(faces[person, "neutral"].astype(int) + shade, 0, 255).astype(np.uint8)


def _of(faces: Faces, codes: dict[str, str], people: int = 99) -> Iterator[tuple[int, str, np.ndarray]]:
    """Person, the corpus's own word for the expression, and the face."""
    word = {expression: code for code, expression in codes.items()}
    for (person, expression), pixels in faces.items():
        if expression in word and person < people:
            yield person, word[expression], pixels


def _raf_db(root: Path, faces: Faces) -> None:
    lines = []
    for n, (person, code, pixels) in enumerate(_of(faces, raf_db.CODES)):
        name = f"{'test' if person % 3 == 0 else 'train'}_{n:05d}"
        _picture(root / f"Image/aligned/{name}_aligned.jpg", pixels)
        lines.append(f"{name}.jpg {code}\n")
    write(root / raf_db.LABELS, "".join(lines))


def _ferplus(root: Path, faces: Faces) -> None:
    columns = list(ferplus.COLUMNS)
    votes = [",".join(["Usage", "Image name", *columns, *ferplus.NO_EMOTION])]
    pixels_of = ["emotion,pixels,Usage"]
    for n, (person, word, pixels) in enumerate(_of(faces, ferplus.COLUMNS)):
        usage = ("PrivateTest", "PublicTest", "Training", "Training")[person % 4]
        grey = np.asarray(Image.fromarray(pixels).convert("L").resize((48, 48)))
        pixels_of.append(f'0,"{" ".join(map(str, grey.ravel().tolist()))}",{usage}')
        told = ["10" if column == word else "0" for column in columns]
        votes.append(",".join([usage, f"fer{n:07d}.png", *told, "0", "0"]))
    write(root / ferplus.PIXELS, "\n".join([*pixels_of, ""]))
    write(root / ferplus.VOTES, "\n".join([*votes, ""]))


def _ck_plus(root: Path, faces: Faces) -> None:
    codes = {str(code): expression for code, expression in CK_PLUS.items()}
    for person, code, pixels in _of(faces, codes, SEQUENCES_OF):
        place, stem = f"S{person:03d}/{int(code):03d}", f"S{person:03d}_{int(code):03d}"
        for k, frame in enumerate((faces[person, "neutral"], *[pixels] * 5), 1):
            _picture(root / f"cohn-kanade-images/{place}/{stem}_{k:08d}.png", frame)
        write(root / f"Emotion/{place}/{stem}_00000006_emotion.txt", f"   {code}.0000000e+00\n")


def _oulu_casia(root: Path, faces: Faces) -> None:
    for person, word, pixels in _of(faces, oulu_casia.WORDS, SEQUENCES_OF):
        for k, frame in enumerate((faces[person, "neutral"], *[pixels] * 5)):
            _picture(root / f"OriginalImg/VL/Strong/P{person:03d}/{word}/{k:03d}.jpeg", frame)


def _mmi(root: Path, faces: Faces) -> None:
    for n, (person, code, pixels) in enumerate(_of(faces, MMI, SEQUENCES_OF)):
        folder, size = root / f"Sessions/{n}", pixels.shape[1::-1]
        folder.mkdir(parents=True)
        film = cv2.VideoWriter(str(folder / f"S{n:03d}.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, size)
        neutral = faces[person, "neutral"]
        for frame in (neutral, pixels, pixels, pixels, neutral):
            film.write(frame[..., ::-1])
        film.release()
        tag = f'<Subject id="{person}"/><Metatag Name="Emotion" Value="{code}"/>'
        write(folder / "session.xml", f"<Session>{tag}</Session>\n")


def _affectnet(root: Path, faces: Faces) -> None:
    codes = {str(n): expression for n, expression in enumerate(affectnet.CODES)}
    for n, (person, code, pixels) in enumerate(_of(faces, codes)):
        folder = root / ("val_set" if person % 3 == 0 else "train_set")
        _picture(folder / f"images/{n}.jpg", pixels)
        (folder / "annotations").mkdir(exist_ok=True)
        for name, value in (("exp", int(code)), ("val", 0.1), ("aro", 0.2)):
            np.save(folder / f"annotations/{n}_{name}.npy", np.array(value))


def _kdef(root: Path, faces: Faces) -> None:
    for person, code, pixels in _of(faces, kdef.CODES):
        _picture(root / f"KDEF/AF{person + 1:02d}/AF{person + 1:02d}{code}S.JPG", pixels)


def _rafd(root: Path, faces: Faces) -> None:
    numbers = [n for n in range(1, 74) if n not in rafd.NOBODY]
    for person, word, pixels in _of(faces, rafd.WORDS):
        name = f"Rafd090_{numbers[person]:02d}_Caucasian_female_{word}_frontal.jpg"
        _picture(root / name, pixels)


def _ferg_db(root: Path, faces: Faces) -> None:
    for person, word, pixels in _of(faces, ferg_db.WORDS, len(ferg_db.CHARACTERS)):
        who = ferg_db.CHARACTERS[person]
        _picture(root / f"FERG_DB_256/{who}/{who}_{word}/{who}_{word}_1.png", pixels)


def _cfee(root: Path, faces: Faces) -> None:
    for person, word, pixels in _of(faces, CFEE | {"angry": "anger", "neutral": "neutral"}):
        _picture(root / f"{word}/subject{person:03d}.jpg", pixels)


def _expw(root: Path, faces: Faces) -> None:
    lines = []
    for n, (_, code, pixels) in enumerate(_of(faces, expw.CODES)):
        height, width = pixels.shape[:2]
        _picture(root / f"image/face_{n}.jpg", pixels)
        box = f"{height // 5} {width // 5} {4 * width // 5} {4 * height // 5}"  # top left right bottom
        lines.append(f"face_{n}.jpg 0 {box} 50.0 {code}\n")
    write(root / "label/label.lst", "".join(lines))


def _multi_pie(root: Path, faces: Faces) -> None:
    shown = {}
    for (session, recording), word in multi_pie.SHOWN.items():
        if word in multi_pie.WORDS:
            shown.setdefault(multi_pie.WORDS[word], (session, recording))
    for (person, expression), pixels in faces.items():
        if expression in shown:
            session, recording = shown[expression]
            name = f"{person + 1:03d}_{session}_{recording}_051_07.png"
            folder = f"data/session{session}/multiview/{person + 1:03d}/{recording}/05_1"
            _picture(root / folder / name, pixels)


def _cfp(root: Path, faces: Faces) -> None:
    views = {"neutral": "frontal/01", "happy": "frontal/02", "sad": "profile/01"}
    for person, place, pixels in _of(faces, {place: expression for expression, place in views.items()}):
        _picture(root / f"Data/Images/{person + 1:03d}/{place}.jpg", pixels)


TREES: dict[str, Callable[[Path, Faces], None]] = {
    "raf_db": _raf_db, "ferplus": _ferplus, "ck_plus": _ck_plus, "oulu_casia": _oulu_casia, "mmi": _mmi,
    "affectnet": _affectnet, "kdef": _kdef, "rafd": _rafd, "ferg_db": _ferg_db, "cfee": _cfee, "expw": _expw,
    "multi_pie": _multi_pie, "cfp": _cfp,
}  # fmt: skip
