"""`evaluate` and `report` of params.yaml."""

from pydantic import Field

from mien.config.section import Section


class Evaluate(Section):
    """How figures become intervals."""

    confidence: float = Field(0.95, gt=0, lt=1)
    resamples: int = Field(1000, ge=100)  # of subjects, for the bootstrap interval
    ratio_draws: int = Field(50, ge=2)  # of test faces, for each proportion of normal to alien ones
    seed: int = 0


class Report(Section):
    """What the report shows."""

    people_on_sheet: int = Field(6, ge=1)
    faces_with_landmarks: int = Field(12, ge=1)
    show_photographs: bool = False  # of corpora that are not rendered and whose terms allow it
