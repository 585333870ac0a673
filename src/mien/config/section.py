"""The model that every section of params.yaml derives from."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen part of params.yaml that refuses keys it does not know and never converts a type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
