"""Rows of `mien corpora` and `mien methods`."""

import json
from pathlib import Path
from typing import Any

from mien.config import load_params


def list_corpora(root: Path) -> list[dict[str, Any]]:
    """One row a corpus of params.yaml, and then one a corpus of the papers that params.yaml does not have.

    Counts are None until the `download` stage has run; what only the other sort of row has is None or empty.
    """
    from mien.corpora.catalogue import CATALOGUE

    used = load_params(root / "params.yaml").corpora
    rows = [
        _facts(corpus.kind) | _corpus(root, name, corpus.kind, corpus.source) for name, corpus in used.items()
    ]
    absent: dict[str, Any] = {"name": None, "source": None, "state": "not in params.yaml"}
    absent |= {"pictures": None, "rejected": None, "people": None, "classes": [], "differs": []}
    there = {corpus.kind for corpus in used.values()}
    return rows + [_facts(kind) | absent for kind in CATALOGUE if kind not in there]


def _facts(kind: str) -> dict[str, Any]:
    """What the catalogue says of a kind of corpus."""
    from mien.corpora.catalogue import CATALOGUE

    entry = CATALOGUE.get(kind)
    return {
        "kind": kind,
        "used_by": list(entry.used_by) if entry else [],
        "official_classes": entry.classes if entry else None,
        "official_size": entry.size if entry else None,
        "licence": entry.licence if entry else None,
        "ask": entry.ask if entry else None,
        "put": entry.put if entry else None,
        "sure": entry.sure if entry else None,
    }


def _corpus(root: Path, name: str, kind: str, source: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "kind": kind, "source": source, "pictures": None, "rejected": None}
    row |= {
        "people": None,
        "classes": [],
        "differs": _differs(root / "data" / "corpora" / name / "counts.json"),
        "state": "source present" if (root / source).exists() else "source missing",
    }
    manifest = root / "data" / "corpora" / name / "manifest.parquet"
    if manifest.is_file():
        import pyarrow.compute as pc

        from mien.manifest.expressions import classes_of
        from mien.manifest.tables import MANIFEST, read_table

        table = read_table(manifest, MANIFEST, ["expression", "subject", "reject"])
        rejected = table.num_rows - pc.sum(pc.is_null(table["reject"])).as_py()
        expressions = set(pc.unique(table["expression"].drop_null()).to_pylist())
        row |= {"state": "made", "pictures": table.num_rows, "rejected": rejected}
        row |= {
            "people": pc.count_distinct(table["subject"]).as_py(),
            "classes": list(classes_of(expressions)),
        }
    return row


def _differs(counts: Path) -> list[str]:
    """The official counts that the download did not find, as `what found/official`."""
    if not counts.is_file():
        return []
    read = json.loads(counts.read_text(encoding="utf-8"))
    return [
        f"{what} {read['found'].get(what, 0)}/{n}"
        for what, n in read["official"].items()
        if read["found"].get(what, 0) != n
    ]


def list_methods(classes: int) -> list[dict[str, Any]]:
    """One row a method at the settings its paper prints, with its named variants."""
    from mien import methods

    rows = []
    for name in methods.names():
        kind = methods.method_class(name)
        row = _method(name, kind.Config(), classes)
        method = _built(name, kind.Config(), classes)
        row |= {
            "paper": kind.paper,
            "phases": [phase.name for phase in method.phases()],
            "needs": sorted(kind.needs),
        }
        row["variants"] = [
            {**_method(name, kind.Config(**changed), classes), "name": variant}
            for variant, changed in kind.variants.items()
        ]
        rows.append(row)
    return rows


def _method(name: str, config: Any, classes: int) -> dict[str, Any]:
    from mien import methods

    method = _built(name, config, classes)
    last = method.phases()[-1]
    moved = {p for turn in method.turns(last, 0) for p in method.moved_by(last, turn)}
    return {
        "name": name,
        "parameters": methods.learnt(method),
        "trainable": sum(p.numel() for p in moved),  # in its last phase
        "gmacs": _gmacs(method),
    }


def _built(name: str, config: Any, classes: int) -> Any:
    """A one-class method has one class."""
    from mien import methods

    return methods.build(name, config, _expressions(1 if methods.method_class(name).scores else classes))


def _gmacs(method: Any) -> float:
    """Multiply-accumulates of one prediction, in 10^9: half of what torch counts as FLOPs."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from mien.shards.batch import Batch

    px = method.input_px
    zero = torch.zeros(1, dtype=torch.int64)
    batch = Batch(
        ("x",),
        torch.zeros(1, 3, px, px, dtype=torch.uint8),
        zero,
        zero,
        points=torch.rand(1, 68, 2) * px,
        total=1,
    )
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        method.eval().predict(batch)
    return round(counter.get_total_flops() / 2e9, 3)


def _expressions(classes: int) -> tuple[str, ...]:
    from mien.manifest.expressions import EXPRESSIONS

    return EXPRESSIONS[:classes]
