"""Experiments' folds and seeds through Ray Train's worker groups, from where an attempt stopped."""

from collections.abc import Sequence

from mien.cluster.progress import ProgressLines
from mien.cluster.session import connect
from mien.config import MienError
from mien.training.plan import Plan, refuse_local_storage
from mien.training.published import publish
from mien.training.reports import OnReport


def train_experiment(plan: Plan, on_report: OnReport = lambda report: None) -> None:
    """`train_experiments` of one."""
    train_experiments([plan], on_report)


def train_experiments(plans: Sequence[Plan], on_report: OnReport = lambda report: None) -> None:
    """Train every cell of the plans that their storage does not hold yet; afterwards it holds all of them.

    As many worker groups as `train.groups` allows, of whichever experiments, work side by side. The plans
    share `train` and `cluster`. `on_report` is called in this process, once an epoch and cell. Ray is
    started or joined only for work.
    MienError: no room in the cluster, a storage it cannot share, a method that diverges, failing workers;
    other experiments' cells have been trained by then.
    """
    left = [(plan, cell) for plan in plans for cell in plan.missing()]
    every = sum(len(plan.cells) for plan in plans)
    lines = ProgressLines([(plan.experiment, cell) for plan, cell in left], kept=every - len(left))
    whose = plans[0].experiment if len(plans) == 1 else f"{len(plans)} experiments"
    if not left:
        lines.say(f"{whose}: all {every} cells are kept; nothing to train")
        return
    with connect(plans[0].params.cluster):
        from mien.cluster.groups import alive_nodes, room, train_groups  # ray, which `connect` makes ready

        train, nodes = plans[0].params.train, alive_nodes()
        for plan in plans:
            refuse_local_storage(plan.store, nodes)
        published = {} if plans[0].store.is_local else _publish([plan for plan, _ in left])
        beside = min(len(left), room(train), train.groups)
        lines.say(
            f"{whose}: {len(left)} of {every} cells to train, "
            f"{beside} group(s) of {train.workers} worker(s); starting"
        )
        train_groups(left, published, beside, lines, on_report)
    for plan in plans:
        if lost := plan.missing():
            raise MienError(
                f"{plan.experiment}: {lost[0].name} was not kept; run again to train what is missing."
            )


def _publish(plans: Sequence[Plan]) -> dict[str, str]:
    """Where workers find the shards of all corpora that plans read."""
    corpora = set[str]().union(*(plan.corpora for plan in plans))
    return publish(plans[0].params, corpora, plans[0].shards)
