"""Where faces come from: `corpora.NAME` of params.yaml, one section a kind."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mien.config.section import Section

Canonical = Literal["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"]


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


CorpusConfig = Annotated[RenderedCorpus | FolderCorpus, Field(discriminator="kind")]
