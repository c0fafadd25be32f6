"""The results check: every record agrees with its own curve and with the rules."""

from __future__ import annotations

from collections.abc import Sequence

from refinevad.config.epochs import chosen, so_far
from study.config.study_file import StudyFile
from study.ledger.records import TrialRecord
from study.verification.check import Check


def check_results(file: StudyFile, records: Sequence[TrialRecord]) -> Check:
    """Compares state, objective, epochs and final metrics of every ended trial with its curve."""
    check = Check("results")
    ended = [record for record in records if record.ended]
    for record in ended:
        if record.state == "FAILED":
            _check_failed(check, record)
        else:
            _check_runtime(check, file, record)
            _check_curve(check, file, record)
            _check_cost(check, file, record)
    counts = {
        state: sum(record.state == state for record in ended)
        for state in ("COMPLETE", "PRUNED", "FAILED")
    }
    failed = counts["FAILED"]
    listed = ", ".join(f"{count} {state}" for state, count in counts.items())
    check.summary = f"{listed}: states, objectives and selected epochs follow from the curves"
    if failed:
        check.notes.append(f"{failed} FAILED cannot be verified: a crash cannot be reproduced")
    return check


def _check_failed(check: Check, record: TrialRecord) -> None:
    check.compare(f"trial {record.number}, FAILED, objective", record.objective, None)
    check.compare(f"trial {record.number}, FAILED, diverged", record.diverged, False)


def _check_runtime(check: Check, file: StudyFile, record: TrialRecord) -> None:
    """Checks that device, precision and threads are those that the file fixes."""
    execution = file.execution
    wanted = {
        "threads": str(execution.threads),
        "precision": execution.precision,
        "device": execution.device,
    }
    for name, value in wanted.items():
        if value != "auto":
            check.compare(f"trial {record.number}, {name}", record.worker.get(name), value)


def _check_cost(check: Check, file: StudyFile, record: TrialRecord) -> None:
    """Checks that a trial has the cost that the objective names, and no other."""
    cost = file.objective.cost
    costs = [name for name in record.metrics if name.startswith("cost/")]
    check.compare(f"trial {record.number}, costs", costs, [f"cost/{cost}"] if cost else [])


def _check_curve(check: Check, file: StudyFile, record: TrialRecord) -> None:
    name, curve = f"trial {record.number}", record.curve
    epochs = file.epochs_of(record.params)
    numbers = [row["epoch"] for row in curve]
    if not check.compare(f"{name}, epochs", numbers, list(range(1, len(curve) + 1))) or not curve:
        check.compare(f"{name}, epochs run", len(curve), max(1, len(curve)))
        return
    values = [row["objective"] for row in curve]
    judged = f"{file.objective.split}/{file.objective.metric}"
    for row in curve[:-1] if record.diverged else curve:
        check.compare(
            f"{name}, objective at epoch {row['epoch']}", row["objective"], row.get(judged)
        )

    if record.diverged:
        expected = ("COMPLETE", 0.0, 0, 0.0)
        length = min(len(curve), epochs)
    else:
        objective, selected = chosen(values, file.objective.epoch)
        stopped = _stopped(file, record, values, epochs)
        expected = ("PRUNED" if stopped else "COMPLETE", objective, selected, values[-1])
        length = stopped or epochs
    found = (record.state, record.objective, record.selected_epoch, record.last_objective)
    titles = ("state", "objective", "selected epoch", "objective of the last epoch")
    for title, *pair in zip(titles, found, expected, strict=True):
        check.compare(f"{name}, {title}", *pair)
    check.compare(f"{name}, epochs run", len(curve), length)

    # Test metrics are computed anew at the end, the others are the epoch's own.
    rows = {"last": curve[-1]}
    if not record.diverged:
        rows["selected"] = curve[expected[2] - 1]
    for which, row in rows.items():
        for key in row:
            if key not in ("epoch", "objective") and not key.startswith("test/"):
                metric = f"{which}/{key}"
                check.compare(f"{name}, {metric}", record.metrics.get(metric), row[key])


def _stopped(file: StudyFile, record: TrialRecord, values: list[float], epochs: int) -> int | None:
    """Epoch after which the stopping curve stops the trial; None: it does not.

    The rule is the trainer's, written down a second time on purpose.
    """
    curve = record.stopping_curve
    if curve is None or file.pruning is None:
        return None
    for epoch, value in enumerate(so_far(values, file.objective.epoch), 1):
        may = file.pruning.spared_epochs < epoch < epochs and epoch <= len(curve)
        if may and value < curve[epoch - 1]:
            return epoch
    return None
