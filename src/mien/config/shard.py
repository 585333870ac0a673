"""`shard` of params.yaml: folds and tars."""

from typing import Annotated, Literal

from pydantic import Field

from mien.config.section import Section


class Shard(Section):
    """How aligned faces become folds and WebDataset tars."""

    folds: int = Field(4, ge=2)
    folds_of: dict[str, Annotated[int, Field(ge=2)]] = Field({})  # by corpus, where a paper has other folds
    by: Literal["subject", "picture"] = "subject"  # `picture` shares people, and the report says so
    seed: int = 0
    samples_per_shard: int = Field(512, ge=1)
    phash_distance: int = Field(12, ge=0, le=64)  # of 64 bits: what is nearer is compared closely
    near_duplicate_correlation: float = Field(0.99, gt=0, le=1)  # likeness from which on they are such
    max_reject_share: float = Field(0.05, ge=0, le=1)

    def folds_in(self, corpus: str) -> int:
        """How many folds a corpus has."""
        return self.folds_of.get(corpus, self.folds)
