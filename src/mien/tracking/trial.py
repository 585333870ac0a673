"""A registered model before the frozen faces: fetches versions, lets each answer once, compares."""

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowClient

from mien.config import MienError, Params
from mien.corpora import MANIFEST_FILE
from mien.evaluation.challenge import Named, Verdict, challenge
from mien.evaluation.facts import Layout
from mien.evaluation.frozen import answers, read_frozen, refuse_copies
from mien.evaluation.predictions import PREDICTIONS_FILE, read_predictions
from mien.evaluation.profile import labelled, profile
from mien.shards.index import INDEX_FILE, read_index
from mien.tracking.registry import fetch_model

PROFILE_FILE = "training_profile.parquet"


class Trial:
    """Versions of one registered model on the frozen faces of the corpus that a version was trained on."""

    def __init__(
        self, client: MlflowClient, root: Path, params: Params, data: Path, model: str, number: int
    ) -> None:
        """data: the folder of dvc.yaml. MienError: no frozen faces for its corpus."""
        self._root, self._params, self._data, self._model = root, params, data, model
        self._tags: dict[str, str] = client.get_model_version(model, str(number)).tags
        self.corpus = self._tags.get("corpus", "")
        frozen = params.promotion.frozen.get(self.corpus)
        if frozen is None:
            raise MienError(
                f"{model} was trained on {self.corpus or 'an unknown corpus'}, for which promotion.frozen "
                "names no corpus to compare models on; name one that no experiment reads."
            )
        self.frozen = read_frozen(frozen, params.corpora[frozen], Layout.below(data, frozen).corpus)
        own = Layout.below(data, self.corpus).corpus
        if (own / MANIFEST_FILE).is_file():
            refuse_copies(self.frozen, self.corpus, own)
        self._answers: dict[int, Named] = {}

    @property
    def manifest(self) -> dict[str, Any]:
        """What a record keeps of the frozen faces and of the rule."""
        return {
            "corpus": self.frozen.corpus,
            "digest": self.frozen.digest,
            "faces": len(self.frozen.faces),
            "people": len(set(self.frozen.person)),
            "rule": self._params.promotion.model_dump(include={"min_gain", "max_p", "max_class_loss"}),
        }

    def examine(self, old: int | None, new: int) -> Verdict:
        """Compare two versions; no old one: the first against chance."""
        before = None if old is None else self._named(old)
        return challenge(self.frozen, before, self._named(new), self._params.promotion, self._params.evaluate)

    def attached(self, runs: Path) -> Mapping[str, bytes]:
        """The profile of what the version was trained on, if the shards are still those.

        runs: the folder of dvc.yaml, for the version's answers on faces that it did not learn.
        """
        layout = Layout.below(self._data, self.corpus)
        if not (layout.shards / INDEX_FILE).is_file():
            return {}
        index = read_index(layout.shards)
        if index.digest != self._tags.get("shards_digest"):
            return {}
        run = runs / self._tags["experiment"] / PREDICTIONS_FILE
        predicted = self._held_out(run, index.classes) if run.is_file() else {}
        return {PROFILE_FILE: _parquet(profile(layout, index, labelled(index), predicted))}

    def _held_out(self, path: Path, classes: tuple[str, ...]) -> dict[str, str]:
        made = read_predictions(path, len(classes))
        fold, seed = int(self._tags["fold"]), int(self._tags["seed"])
        own = made.only((made.fold == fold) & (made.seed == seed))
        return {
            key: classes[number] for key, number in zip(own.key.tolist(), own.predicted.tolist(), strict=True)
        }

    def _named(self, number: int) -> Named:
        if number not in self._answers:
            with tempfile.TemporaryDirectory(prefix="mien-trial-") as scratch:
                folder = fetch_model(f"models:/{self._model}/{number}", self._root, Path(scratch))
                self._answers[number] = answers(self.frozen, folder)
        return self._answers[number]


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()
