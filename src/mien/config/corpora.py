"""Where faces come from: `corpora.NAME` of params.yaml, one section a kind."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from mien.config.section import Section

Canonical = Literal["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"]
EXPRESSIONS: tuple[Canonical, ...] = get_args(Canonical)


class RenderedCorpus(Section):
    """The embedded corpus of rendered 3D faces; every number that shapes it."""

    kind: Literal["rendered"]
    source: str = "src/mien/corpora/rendered"  # DVC reruns the corpus when this changes
    seed: int = 0
    picture_px: int = Field(256, ge=64, le=1024)
    people: int = Field(ge=1)
    first_person: int = Field(0, ge=0)  # people are numbered: two corpora with apart numbers share nobody
    expressions: list[Canonical] = Field(min_length=1)
    lab_pictures: int = Field(1, ge=0)  # per person and expression
    wild_pictures: int = Field(0, ge=0)  # per person and expression
    sequences: int = Field(0, ge=0)  # per person and expression other than neutral
    sequence_frames: int = Field(12, ge=3)
    occluder_share: float = Field(0.15, ge=0, le=1)  # of the wild pictures
    idle_units: float = Field(0.5, ge=0, le=6)  # mean number of action units that mean nothing, per picture
    intensity: list[float] = Field([0.45, 1.0], min_length=2, max_length=2)  # of an apex, uniform between
    gated: Literal[False] = False

    @model_validator(mode="after")
    def _sound(self) -> "RenderedCorpus":
        if len(set(self.expressions)) != len(self.expressions):
            raise ValueError("expressions names one twice")
        low, high = self.intensity
        if not 0 < low <= high <= 1:
            raise ValueError(f"intensity must rise within 0 and 1, not {self.intensity}")
        moving = self.sequences if set(self.expressions) != {"neutral"} else 0
        if self.lab_pictures + self.wild_pictures + moving == 0:
            raise ValueError("lab_pictures, wild_pictures and sequences are all 0: the corpus would be empty")
        return self


class FolderCorpus(Section):
    """The user's own photographs: `source/<class>/*.{jpg,png,...}`."""

    kind: Literal["folder"]
    source: str  # a path; `~` is not expanded, so that DVC sees the same
    classes: dict[str, str] = Field(min_length=1)  # folder name -> canonical expression
    subject_csv: str | None = None  # relative to source, with columns `file` and `subject`
    subject_regex: str | None = None  # its group 1, searched in the file's name
    gated: bool = False
    allow_push: bool = False  # of a gated corpus: its owner's terms let pictures leave this machine


class OfficialCorpus(Section):
    """A corpus as its owner ships it; its adapter is `src/mien/corpora/KIND.py`."""

    makes_pictures: ClassVar[bool] = (
        False  # they are inside a file of the archive and kept beside the manifest
    )
    source: str  # the unpacked archive; `~` is not expanded, so that DVC sees the same
    gated: Literal[True] = True  # by the owner's terms: no picture is shown, none is pushed ...
    allow_push: bool = False  # ... unless they let pictures leave this machine
    expressions: list[Canonical] = Field(list(EXPRESSIONS), min_length=1)  # others become unlabelled rows


class SequenceCorpus(OfficialCorpus):
    """A corpus of sequences: the sequence's label goes to chosen frames, the others stay unlabelled."""

    labelled_frames: Literal["last", "middle", "all"] = "last"
    frames_a_sequence: int = Field(3, ge=1)  # how many get the label; not read for "all"
    neutral_frames: int = Field(0, ge=0)  # how many first frames of a labelled sequence are neutral


class RafDbCorpus(OfficialCorpus):
    """RAF-DB, basic expressions."""

    kind: Literal["raf_db"]
    pictures: Literal["aligned", "original"] = "aligned"


class FerPlusCorpus(OfficialCorpus):
    """FERPlus: the pixels of FER2013, the votes of FER+."""

    makes_pictures: ClassVar[bool] = True
    kind: Literal["ferplus"]
    rule: Literal["majority", "argmax10", "argmax8"] = "majority"
    validation_joins_train: bool = False  # PublicTest is trained with, as in RAN's lists


class CkPlusCorpus(SequenceCorpus):
    """CK+, the extended Cohn-Kanade corpus."""

    kind: Literal["ck_plus"]


class OuluCasiaCorpus(SequenceCorpus):
    """Oulu-CASIA NIR&VIS."""

    kind: Literal["oulu_casia"]
    folder: str = "OriginalImg"  # the cropped release has another
    cameras: list[Literal["VL", "NI"]] = Field(["VL"], min_length=1)
    lights: list[Literal["Strong", "Weak", "Dark"]] = Field(["Strong"], min_length=1)


class KdefCorpus(OfficialCorpus):
    """KDEF, the Karolinska Directed Emotional Faces."""

    kind: Literal["kdef"]
    views: list[Literal["full_left", "half_left", "straight", "half_right", "full_right"]] = Field(
        ["full_left", "half_left", "straight", "half_right", "full_right"], min_length=1
    )
    darkest_mean: float = Field(10.0, ge=0, le=255)  # pictures whose mean is below are black by accident


class RafdCorpus(OfficialCorpus):
    """RaFD, the Radboud Faces Database."""

    kind: Literal["rafd"]
    cameras: list[Literal[0, 45, 90, 135, 180]] = Field([0, 45, 90, 135, 180], min_length=1)


class FergDbCorpus(OfficialCorpus):
    """FERG-DB: drawn characters."""

    kind: Literal["ferg_db"]


class ExpwCorpus(OfficialCorpus):
    """ExpW, Expression in-the-Wild: several faces a picture."""

    kind: Literal["expw"]
    pictures: str = "image"  # folders and files differ between copies of the archive
    labels: str = "label/label.lst"
    least_confidence: float = Field(0.0, ge=0)  # of the face box; faces below are unlabelled rows


class CfeeCorpus(OfficialCorpus):
    """CFEE; its layout is not known for certain, so it is a setting."""

    kind: Literal["cfee"]
    # searched in a picture's path below source; its groups `subject` and `category` are read
    pattern: str = r"(?P<category>[^/]+)/[^/]*?(?P<subject>\d+)[^/]*\.\w+$"
    categories: dict[str, Canonical] = Field(
        {
            "neutral": "neutral",
            "happy": "happy",
            "sad": "sad",
            "surprised": "surprise",
            "fearful": "fear",
            "disgusted": "disgust",
            "angry": "anger",
        },
        min_length=1,
    )


class AffectNetCorpus(OfficialCorpus):
    """AffectNet, the release of 2017 (lists) or of 2021 (.npy files)."""

    kind: Literal["affectnet"]
    pictures: str = "Manually_Annotated_Images"  # below which the lists' paths begin, in the release of 2017


class MmiCorpus(SequenceCorpus):
    """MMI; how its XML names person and emotion is not known for certain, so it is a setting."""

    makes_pictures: ClassVar[bool] = True
    kind: Literal["mmi"]
    sessions: str = "Sessions"
    # where in a session's XML: an ElementTree path, and the attribute there
    subject_element: str = ".//Subject"
    subject_attribute: str = "id"
    emotion_element: str = ".//Metatag[@Name='Emotion']"
    emotion_attribute: str = "Value"
    codes: dict[str, Canonical] = Field(
        {"1": "anger", "2": "disgust", "3": "fear", "4": "happy", "5": "sad", "6": "surprise"}, min_length=1
    )
    # onset, apex, offset: never the last
    labelled_frames: Literal["last", "middle", "all"] = "middle"


class CfpCorpus(OfficialCorpus):
    """CFP, Celebrities in Frontal-Profile: identities without expressions."""

    kind: Literal["cfp"]


class MultiPieCorpus(OfficialCorpus):
    """CMU Multi-PIE, the multiview pictures."""

    kind: Literal["multi_pie"]
    cameras: list[str] = Field(["041", "050", "051"], min_length=1)
    lights: list[str] | None = None  # flashes "00" to "19"; null: all


Official = (
    RafDbCorpus
    | FerPlusCorpus
    | CkPlusCorpus
    | OuluCasiaCorpus
    | KdefCorpus
    | RafdCorpus
    | FergDbCorpus
    | ExpwCorpus
    | CfeeCorpus
    | AffectNetCorpus
    | MmiCorpus
    | CfpCorpus
    | MultiPieCorpus
)
CorpusConfig = Annotated[RenderedCorpus | FolderCorpus | Official, Field(discriminator="kind")]


def withheld(corpus: CorpusConfig) -> bool:
    """Whether pictures of a corpus, and what was made from them, must stay on this machine."""
    return corpus.gated and not (isinstance(corpus, FolderCorpus | OfficialCorpus) and corpus.allow_push)
