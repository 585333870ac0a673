"""What is known of the papers' corpora before anybody has an archive: facts only (fetching.py fetches).

Sizes are the owners' own figures. `sure` says how the layout is known: A seen in public code or files,
B common knowledge, C uncertain. No layout has been checked against an owner's archive.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Public:
    """A file that its owner gives to everybody."""

    name: str  # in `source`
    address: str
    sha256: str
    licence: str


@dataclass(frozen=True)
class Entry:
    """One corpus, by the `kind` that it has in params.yaml."""

    title: str
    used_by: tuple[str, ...]  # papers
    classes: str
    size: str
    files: int  # about how many files its archives hold; extraction takes up to twice as many
    licence: str
    ask: str  # whom, and where
    put: str  # what `source` holds
    layouts: tuple[tuple[str, ...], ...]  # one of these, all its names (globs) in `source`; none: not checked
    sure: Literal["A", "B", "C"]
    public: tuple[Public, ...] = ()  # what may be fetched; all else is gated


CATALOGUE: dict[str, Entry] = {
    "raf_db": Entry(
        title="RAF-DB, basic expressions",
        used_by=("HS-OCFER", "HSNet", "EAN"),
        classes="7",
        size="12,271 + 3,068 pictures",
        files=61_400,
        licence="on request, non-commercial research",
        ask="PRIS, Beijing University of Posts and Telecommunications: http://www.whdeng.cn/RAF/model1.html",
        put="EmoLabel/list_patition_label.txt and Image/aligned/*_aligned.jpg or Image/original/*.jpg",
        layouts=(("EmoLabel/list_patition_label.txt", "Image"),),
        sure="A",
    ),
    "ferplus": Entry(
        title="FERPlus: the pixels of FER2013 with the votes of FER+",
        used_by=("EAN",),
        classes="8",
        size="28,709 + 3,589 + 3,589 rows",
        files=10,
        licence="votes: MIT; pixels: terms of the Kaggle challenge",
        ask="votes: https://github.com/microsoft/FERPlus; "
        "pixels: Kaggle, Challenges in Representation Learning: Facial Expression Recognition",
        put="fer2013.csv and fer2013new.csv",
        layouts=(("fer2013.csv", "fer2013new.csv"),),
        sure="A",
        public=(
            Public(
                name="fer2013new.csv",
                address="https://raw.githubusercontent.com/microsoft/FERPlus/master/fer2013new.csv",
                # two public projects that check this file pin the same digest; mien's authors had no network
                sha256="9206e20d62f56475939f516847d61753e4860caeac9718b560129541b776fc2c",
                licence="MIT",
            ),
        ),
    ),
    "ck_plus": Entry(
        title="CK+, the extended Cohn-Kanade corpus",
        used_by=("SNA", "IDFERM"),
        classes="6, 7 or 8",
        size="593 sequences of 123 people, 327 of 118 labelled",
        files=22_500,
        licence="signed form",
        ask="Affect Analysis Group, University of Pittsburgh: https://www.jeffcohn.net/Resources/",
        put="cohn-kanade-images/S*/*/*.png, Emotion/S*/*/*_emotion.txt, Landmarks/S*/*/*_landmarks.txt",
        layouts=(("cohn-kanade-images", "Emotion"),),
        sure="B",
    ),
    "oulu_casia": Entry(
        title="Oulu-CASIA NIR&VIS",
        used_by=("SNA", "IDFERM"),
        classes="6",
        size="80 people, 480 sequences in strong visible light",
        files=66_000,
        licence="signed form",
        ask="Center for Machine Vision and Signal Analysis, University of Oulu",
        put="OriginalImg/VL/Strong/P*/<expression>/*.jpeg, or the cropped release, which mirrors it",
        layouts=(("*/VL",), ("*/NI",), ("VL",), ("NI",)),
        sure="B",
    ),
    "mmi": Entry(
        title="MMI facial expression database",
        used_by=("IDFERM",),
        classes="6",
        size="213 labelled sequences of 31 people, 208 used",
        files=12_000,
        licence="on request",
        ask="https://mmifacedb.eu",
        put="Sessions/<id>/*.avi with an XML beside each",
        layouts=(),
        sure="C",
    ),
    "affectnet": Entry(
        title="AffectNet, the manually annotated part",
        used_by=("SNA",),
        classes="7 of 11",
        size="283,901 + 3,500 pictures of the seven",
        files=1_300_000,
        licence="signed form",
        ask="M. H. Mahoor, University of Denver: http://mohammadmahoor.com/affectnet/",
        put="2017: Manually_Annotated_file_lists/{training,validation}.csv and the pictures; "
        "2021: {train,val}_set/images/*.jpg and annotations/*.npy",
        layouts=(("Manually_Annotated_file_lists",), ("train_set", "val_set")),
        sure="B",
    ),
    "kdef": Entry(
        title="KDEF, the Karolinska Directed Emotional Faces",
        used_by=("HS-OCFER", "HSNet"),
        classes="7",
        size="4,900 pictures of 70 people",
        files=5_100,
        licence="registration, non-commercial research",
        ask="Karolinska Institutet: https://kdef.se",
        put="KDEF/AF01/AF01AFS.JPG and so on",
        layouts=(("KDEF",),),
        sure="B",
    ),
    "rafd": Entry(
        title="RaFD, the Radboud Faces Database",
        used_by=("HSNet",),
        classes="8",
        size="8,040 pictures of 67 people",
        files=8_100,
        licence="on request, non-commercial research",
        ask="Radboud University: https://rafd.nl",
        put="Rafd090_01_Caucasian_female_angry_frontal.jpg and so on",
        layouts=(("Rafd*_*",),),
        sure="B",
    ),
    "ferg_db": Entry(
        title="FERG-DB, drawn characters",
        used_by=("HSNet",),
        classes="7",
        size="55,767 pictures of 6 characters",
        files=56_000,
        licence="on request, non-commercial research",
        ask="GRAIL, University of Washington: https://grail.cs.washington.edu/projects/deepexpr/ferg-2d-db.html",
        put="FERG_DB_256/<character>/<character>_<expression>/*.png",
        layouts=(("FERG_DB_256",),),
        sure="B",
    ),
    "cfee": Entry(
        title="CFEE, compound facial expressions of emotion",
        used_by=("HS-OCFER",),
        classes="7 of 22",
        size="230 people, 1,610 pictures of the seven",
        files=6_000,
        licence="on request",
        ask="CBCSL, Ohio State University: http://cbcsl.ece.ohio-state.edu/dbform_compound.html",
        put="one picture a person and category, both told by folder or file name (setting `pattern`)",
        layouts=(),
        sure="C",
    ),
    "expw": Entry(
        title="ExpW, Expression in-the-Wild",
        used_by=("HS-OCFER",),
        classes="7",
        size="91,793 faces in 106,962 pictures",
        files=107_000,
        licence="research",
        ask="MMLab, Chinese University of Hong Kong: http://mmlab.ie.cuhk.edu.hk/projects/socialrelation/index.html",
        put="label/label.lst and image/*.jpg, or image/origin.7z.001 and its other volumes",
        layouts=(("label/label.lst",), ("label.lst",)),
        sure="B",
    ),
    "multi_pie": Entry(
        title="CMU Multi-PIE",
        used_by=("IDFERM",),
        classes="4 of 6",
        size="750,000 pictures of 337 people",
        files=770_000,
        licence="bought",
        ask="Carnegie Mellon University: https://www.cs.cmu.edu/afs/cs/project/PIE/MultiPie/Multi-Pie/Home.html",
        put="data/session01/multiview/001/01/05_1/001_01_01_051_07.png and so on",
        layouts=(("data/session*",),),
        sure="B",
    ),
    "cfp": Entry(
        title="CFP, Celebrities in Frontal-Profile",
        used_by=("EAN",),
        classes="identities, frontal and profile",
        size="5,000 + 2,000 pictures of 500 people",
        files=15_000,
        licence="research",
        ask="http://www.cfpw.io",
        put="Data/Images/001/{frontal,profile}/*.jpg, Data/Fiducials, Protocol/Pair_list_{F,P}.txt",
        layouts=(("Data/Images",),),
        sure="A",
    ),
    "vggface2": Entry(
        title="VGGFace2",
        used_by=("HSNet", "IDFERM"),
        classes="identities",
        size="3.31 million pictures of 9,131 people",
        files=3_400_000,
        licence="withdrawn by its publisher",
        ask="nobody: weights trained on it are used by path",
        put="train/n000002/0001_01.jpg, identity_meta.csv, bb_landmark/loose_landmark_train.csv",
        layouts=(("train", "identity_meta.csv"),),
        sure="B",
    ),
    "vgg_face": Entry(
        title="VGG-Face",
        used_by=("IDFERM",),
        classes="identities",
        size="2.6 million addresses, largely dead, of 2,622 people",
        files=2_700,
        licence="research",
        ask="nobody: the lists hold addresses, and mien fetches none of them",
        put="files/<name>.txt",
        layouts=(("files",),),
        sure="B",
    ),
    "ms_celeb_1m": Entry(
        title="MS-Celeb-1M",
        used_by=("EAN",),
        classes="identities",
        size="10 million pictures",
        files=0,
        licence="withdrawn by its publisher",
        ask="nobody: weights trained on it are used by path",
        put="nothing",
        layouts=(),
        sure="B",
    ),
}
