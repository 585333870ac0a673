"""`mien predict` and `mien serve`: a trained model at work."""

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.root import checkout_root

NO_FACE = 3
"""Exit code of `predict` when a picture, or all of a video, had no face; the others are answered too."""

Model = Annotated[str, typer.Argument(help="An experiment's name, a model folder, or models:/NAME@champion.")]


def predict(
    model: Model,
    pictures: Annotated[
        list[Path], typer.Argument(help="Pictures, videos, folders of them, or quoted patterns.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write the answers to a .csv, .json or .parquet file.")
    ] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="Folder for copies with box, points and probabilities.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Find the face in each picture, or in each frame of a video, and say its expression.

    A video has a row a frame, with the probabilities of the frame and smoothed ones (`predict.smooth_s`).
    What has no face or cannot be read has a row with the reason, and the command then exits with 3.
    Example: `mien predict hsnet-rendered me.jpg holiday/ clip.mp4 --out answers.csv --overlay out`
    """
    from mien.cli.answers import refuse_other_suffix, to_file, to_screen
    from mien.cli.predict import load_predictor, predict_sources
    from mien.cli.sources import sources
    from mien.config import load_params

    root = checkout_root()
    if out is not None:
        refuse_other_suffix(out)
    settings = load_params(root / "params.yaml").predict
    found = sources(pictures)
    predictor = load_predictor(root, model, landmarks=overlay is not None)
    seen: dict[str, bool] = {}  # has it a face, in any frame of it?
    with to_file(out, predictor.classes) if out is not None else to_screen(as_json) as answers:
        for row in predict_sources(predictor, found, overlay, settings):
            answers.add(row)
            seen[row["picture"]] = seen.get(row["picture"], False) or row["probabilities"] is not None
    if out is not None:
        print(f"{out}: {len(seen)} read, {list(seen.values()).count(False)} of them without a face")
    if not all(seen.values()):
        raise typer.Exit(NO_FACE)


def serve(
    model: Model,
    host: Annotated[
        str, typer.Option(help="Where to listen; all but loopback wants MIEN_SERVE_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file with certificate and key: speak TLS.")
    ] = None,
) -> None:
    """Answer uploads over HTTP, with a page to try it on: boxes, 68 points, probabilities.

    `POST /predict` takes the bytes of a JPEG, PNG, WebP, GIF or BMP; `/health` tells whether it answers,
    `/metrics` how much and how fast (Prometheus). Limits: `serve` in params.yaml. No picture is kept.
    Example: `mien serve hsnet-rendered --port 8080`
    """
    from mien.cli.serve import serve_model

    serve_model(checkout_root(), model, host, port, certificate)
