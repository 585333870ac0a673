"""An experiment's folds and seeds through Ray Train's worker groups, from where an attempt stopped."""

from mien.cluster.progress import ProgressLines
from mien.cluster.session import connect
from mien.config import MienError
from mien.training.plan import Plan, refuse_local_storage
from mien.training.published import publish
from mien.training.reports import OnReport


def train_experiment(plan: Plan, on_report: OnReport = lambda report: None) -> None:
    """Train every cell of the plan that its storage does not hold yet; afterwards it holds all of them.

    `on_report` is called in this process, once an epoch and cell. Ray is started or joined only for work.
    MienError: no room in the cluster, a storage it cannot share, a method that diverges, failing workers.
    """
    missing = plan.missing()
    lines = ProgressLines(missing, kept=len(plan.cells) - len(missing))
    if not missing:
        lines.say(
            f"{plan.experiment}: all {len(plan.cells)} cells are kept in {plan.store.uri}; nothing to train"
        )
        return
    with connect(plan.params.cluster):
        from mien.cluster.groups import (
            alive_nodes,
            room,
            train_groups,
        )  # ray, which `connect` makes ready first

        refuse_local_storage(plan.store, alive_nodes())
        published = {} if plan.store.is_local else publish(plan.params, plan.corpora, plan.shards)
        groups = [group for group in plan.groups() if set(group) & set(missing)]
        beside = min(len(groups), room(plan))
        workers = plan.params.train.workers
        lines.say(
            f"{plan.experiment}: {len(missing)} of {len(plan.cells)} cells to train, "
            f"{beside} group(s) of {workers} worker(s); starting"
        )
        train_groups(plan, groups, published, beside, lines, on_report)
    if left := plan.missing():
        raise MienError(
            f"{plan.experiment}: {left[0].name} was not kept; run the stage again to train what is missing."
        )
