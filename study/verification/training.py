"""The training check: retrains some trials on this machine and compares them to the last bit."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from refinevad.config.costs import COSTS
from refinevad.data import Store
from study.config.study_file import StudyFile
from study.ledger.provenance import hardware_kinds, hardware_text
from study.ledger.records import TrialRecord, TrialResult, best, digest
from study.trials.checkpoints import checkpoint_path
from study.trials.runner import TrialRunner
from study.trials.runs import DetectorRuns, LocalStore
from study.trials.spec import TrialOutcome, TrialSpec
from study.verification.check import Check, Difference

COMPARED = ("state", "diverged", "objective", "selected_epoch", "last_objective")


def sample_trials(records: Sequence[TrialRecord], count: int) -> list[TrialRecord]:
    """The best trial, and others at random. The digest is the seed, so that nobody who changes a
    trial can know which ones will be drawn."""
    eligible = [r for r in records if r.state in ("COMPLETE", "PRUNED")]
    first = best(eligible)
    others = [r for r in eligible if r is not first]
    random.Random(digest(records)).shuffle(others)
    return [*([first] if first else []), *others][:count]


def check_training(
    file: StudyFile,
    store: Store,
    records: Sequence[TrialRecord],
    checkpoints: Path,
    count: int,
    say: Callable[[str], None],
    progress: Callable[[TrialRecord, int], None],
) -> Check:
    """Retrains ``count`` trials.

    Args:
        file: The study file, as recorded.
        store: The study's data.
        records: Every trial proposed, by number.
        checkpoints: Folder of the best trials' weights.
        count: Number of trials.
        say: Called with one line on each retrained trial.
        progress: Called after each epoch.
    """
    import torch

    check = Check("training")
    again = 0
    for record in sample_trials(records, count):
        name = f"trial {record.number}"
        if record.worker.get("device") == "cuda" and not torch.cuda.is_available():
            check.notes.append(f"{name} skipped: it ran on a GPU, and this machine has none")
            continue
        before = len(check.differences)
        kept = checkpoint_path(checkpoints, record.number)
        outcome = _train(check, file, store, record, progress)
        result = outcome.result if outcome else None
        if outcome:
            _compare(check, record, outcome.result)
            if kept.is_file():
                _compare_weights(check, name, kept, outcome.checkpoint)
        differs = len(check.differences) > before
        again += 1
        facts = f"{record.state}, objective {record.objective} at epoch {record.selected_epoch}"
        weights = ", checkpoint included" if kept.is_file() else ""
        say(f"  {name} ({facts}): {'DIFFERS' if differs else 'bit-identical'}{weights}")
        if differs:
            check.notes += _possible_causes(file, record, result)
    check.summary = (
        f"{again} trial{'' if again == 1 else 's'} retrained: states, objectives, curves, metrics "
        "and kept checkpoints " + ("compared" if check.differences else "match")
    )
    return check


def _train(
    check: Check,
    file: StudyFile,
    store: Store,
    record: TrialRecord,
    progress: Callable[[TrialRecord, int], None],
) -> TrialOutcome | None:
    """The trial's outcome on this machine, computed as its worker did; None if training fails."""
    worker = record.worker
    facts = {key: worker[key] for key in ("precision", "threads") if key in worker}
    try:
        execution = type(file.execution).model_validate(file.execution.model_dump() | facts)
        as_recorded = file.model_copy(update={"execution": execution})
        device: Literal["cpu", "cuda"] = "cuda" if worker.get("device") == "cuda" else "cpu"
        runs = DetectorRuns(as_recorded, LocalStore.of(store), device)
        spec = TrialSpec(
            record.number,
            record.params,
            record.seed,
            record.stopping_curve,
            keep_above=float("-inf"),
        )
        runner = TrialRunner(runs, spec)
        while not runner.done:
            runner.advance(seconds=0)  # an epoch
            progress(record, runner.epoch)
        return runner.outcome()
    except Exception as error:  # whatever a changed parameter may do
        reason = f"that it cannot be trained here: {type(error).__name__}: {error}"
        check.differences.append(Difference(f"trial {record.number}", record.state, reason))
        return None


def _compare(check: Check, record: TrialRecord, result: TrialResult) -> None:
    name = f"trial {record.number} retrained"
    found, expected = asdict(record), asdict(result)
    for key in COMPARED:
        check.compare(f"{name}, {key.replace('_', ' ')}", found[key], expected[key])
    check.compare(f"{name}, epochs run", len(record.curve), len(result.curve))
    for row, other in zip(record.curve, result.curve, strict=False):
        check.compare_all(f"{name}, epoch {other['epoch']}, ", row, other)
    check.compare_all(f"{name}, ", _repeatable(record.metrics), _repeatable(result.metrics))


def _repeatable(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics without those that a clock says."""
    timed = {f"cost/{name}" for name, entry in COSTS.items() if entry.measured}
    return {name: value for name, value in metrics.items() if name not in timed}


def _compare_weights(check: Check, name: str, path: Path, checkpoint: bytes | None) -> None:
    """Compares weights only: the checkpoint's header may have an earlier name of the study."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    expected = load(checkpoint) if checkpoint else {}
    try:
        found = load(path.read_bytes())
    except (OSError, SafetensorError, ValueError) as error:
        found = {}
        check.notes.append(f"{path} cannot be read: {error}")
    same = found.keys() == expected.keys() and all(
        found[key].numpy().tobytes() == weight.numpy().tobytes() for key, weight in expected.items()
    )
    if not same:
        what = (f"{name}, its checkpoint", "other weights", "those that training gives")
        check.differences.append(Difference(*what, where=path.name))


def _possible_causes(file: StudyFile, record: TrialRecord, result: TrialResult | None) -> list[str]:
    """Causes for which an unchanged trial may differ on this machine."""
    if result is not None:
        kinds = hardware_kinds([record, record.with_result(result)])
        if len(kinds) > 1:
            there, here = (hardware_text(kind) for kind in kinds)
            return [
                f"trial {record.number} ran on another kind of machine, where its last bits can "
                f"differ; only that kind can verify it. There: {there}. Here: {here}"
            ]
    if record.worker.get("device") == "cuda" and not file.execution.deterministic:
        return [f"trial {record.number}: execution.deterministic is false; last bits may differ"]
    return []
