"""`predict` and `serve` of params.yaml: a model at work on pictures, videos and uploads."""

from pydantic import Field

from mien.config.section import Section


class Predict(Section):
    """How `mien predict` goes through pictures and videos."""

    batch_pictures: int = Field(16, ge=1, le=256)
    smooth_s: float = Field(0.4, ge=0, le=60)  # half width of the window that smooths a video's timeline


class Serve(Section):
    """What `mien serve` does at once, and what one upload and one client may ask of it."""

    replicas: int = Field(1, ge=1)
    cpus_per_replica: int = Field(1, ge=1)  # and torch's threads
    batch_pictures: int = Field(8, ge=1, le=256)
    batch_wait_s: float = Field(0.01, ge=0, le=1)  # how long a picture waits for company
    max_upload_mb: float = Field(12, gt=0, le=64)
    max_megapixels: float = Field(25, gt=0, le=100)
    waiting_pictures: int = Field(32, ge=1)  # with those in work; one more is answered 503
    waiting_mb: float = Field(96, gt=0)  # of uploads held in memory; more is answered 503
    client_pictures_per_s: float = Field(5, gt=0)  # in the long run; more is answered 429
    client_burst: int = Field(20, ge=1)
    upload_s: float = Field(20, gt=0)  # in which an upload must have arrived
    answer_s: float = Field(30, gt=0)  # in which the model must have answered
    login_hours: float = Field(12, gt=0)  # how long a browser stays logged in
