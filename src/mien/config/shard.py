"""`shard` of params.yaml: folds and tars."""

from typing import Annotated, Literal

from pydantic import Field

from mien.config.section import Section


class Shard(Section):
    """How aligned faces become folds and WebDataset tars."""

    folds: int = Field(4, ge=2)
    folds_of: dict[str, Annotated[int, Field(ge=2)]] = Field({})  # by corpus, where a paper has other folds
    picture_folds_of: dict[str, Annotated[int, Field(ge=2)]] = Field({})  # of experiments by picture
    by: Literal["subject", "picture"] = "subject"  # `picture` shares people, and the report says so
    seed: int = 0
    samples_per_shard: int = Field(512, ge=1)
    phash_distance: int = Field(12, ge=0, le=64)  # of 64 bits: what is nearer is compared closely
    near_duplicate_correlation: float = Field(0.99, gt=0, le=1)  # likeness from which on they are such
    max_reject_share: float = Field(0.05, ge=0, le=1)

    def folds_in(self, corpus: str, folds_by: str = "subject") -> tuple[int, str]:
        """How many folds a corpus has for an experiment with this `folds_by`, and the key that says so."""
        if folds_by == "picture" and corpus in self.picture_folds_of:
            return self.picture_folds_of[corpus], "shard.picture_folds_of"
        if corpus in self.folds_of:
            return self.folds_of[corpus], "shard.folds_of"
        return self.folds, "shard.folds"
