"""`align` and `landmarks` of params.yaml: from picture to crop to 68 points."""

from typing import Literal

from pydantic import Field

from mien.config.section import Section


class Align(Section):
    """How a face is found and cut out."""

    detector: Literal["mtcnn", "dlib_hog", "sfd", "blazeface"] = "mtcnn"
    min_score: float = Field(0.9, ge=0, le=1)
    min_face_px: int = Field(24, ge=1)
    several_faces: Literal["best", "reject"] = "best"
    longest_side_px: int = Field(640, ge=64)  # larger pictures are shrunk before detection
    crop_px: int = Field(112, ge=32, le=1024)
    eye_line: float = Field(0.40, gt=0, lt=1)  # height of the eyes in the crop, as a share of its side
    eye_distance: float = Field(0.36, gt=0, lt=1)  # between the eyes, as a share of the crop's side
    colour: Literal["rgb", "grey"] = "rgb"
    jpeg_quality: int = Field(95, ge=1, le=100)
    batch_pictures: int = Field(16, ge=1)
    max_reject_share: float = Field(0.05, ge=0, le=1)


class Landmarks(Section):
    """Where the 68 points come from."""

    model: Literal["given", "dlib", "fan"] = "dlib"
    batch_crops: int = Field(64, ge=1)
    max_reject_share: float = Field(0.05, ge=0, le=1)
