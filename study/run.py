"""``python -m study.run --space FILE``: runs, resumes or extends a study."""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import platform
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from refinevad import cli
from refinevad.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from refinevad.data import Store
    from study.ledger import Ledger
    from study.record import StudyMeta, TrialRecord
    from study.space import StudyFile

PUBLISH_PATIENCE = 300.0
"""Seconds the end of a study waits for MLflow to have caught up."""
_PACKAGES = ("torch", "numpy", "scikit-learn", "scipy", "ray", "optuna", "mlflow")


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    from rich.console import Console

    from study.space import load_study

    console = Console()
    overrides = list(args.set)
    if args.trials is not None:
        overrides.append(f"study.trials={args.trials}")
    file = load_study(args.space, overrides)
    workers = args.workers or max(1, (os.cpu_count() or 1) // file.execution.threads)

    from refinevad.data import prepare

    store = prepare(file.data, args.stores)
    if args.dry_run:
        from study.dry_run import print_dry_run

        print_dry_run(console, file, store, workers=workers, folder=args.runs / file.study.name)
        return 0
    return _run(args, console, file, store, workers)


def _run(
    args: argparse.Namespace, console: Console, file: StudyFile, store: Store, workers: int
) -> int:
    from study.ledger import Ledger
    from study.publish import start_publisher, wait_publisher
    from study.summary import print_summary, trials_table

    folder = args.runs / file.study.name
    uri = _tracking_uri(args.tracking_uri)
    ledger = Ledger(folder, _meta(file, store))
    publisher = None
    try:
        if ledger.recovered:
            console.print(ledger.recovered, style="yellow", soft_wrap=True)
        (folder / "study.yaml").write_text(file.to_yaml())
        publisher = start_publisher(folder, uri) if uri else None
        interrupted = _run_trials(args, console, file, store, ledger, workers, uri)
        records = ledger.trials()
        trials_table(records).to_csv(folder / "trials.csv", index=False)
        print_summary(
            console,
            ledger.meta,
            records,
            folder=folder,
            reproducible=file.execution.deterministic,
            synthetic=file.data.synthetic is not None,
        )
    finally:
        ledger.close()
        if publisher and not wait_publisher(publisher, PUBLISH_PATIENCE):
            console.print(
                f"MLflow does not show all of it yet (see {folder / 'publisher.log'}); later: "
                f"python -m study.publish --study {folder}",
                style="yellow",
                soft_wrap=True,
            )
    _print_next(console, args, file, folder, records, interrupted)
    return cli.INTERRUPTED if interrupted else 0


def _run_trials(
    args: argparse.Namespace,
    console: Console,
    file: StudyFile,
    store: Store,
    ledger: Ledger,
    workers: int,
    uri: str | None,
) -> bool:
    """Runs what is left to run; True when the user stopped it."""
    from study.checkpoints import Checkpoints
    from study.driver import Driver
    from study.screen import Tally, open_screen
    from study.tracking import redact

    objective = file.objective
    metric = f"{objective.metric} on {objective.split}"
    tally = Tally(trials=file.study.trials, workers=workers, metric=metric)
    places = {"ledger": str(ledger.folder), "mlflow": redact(uri) if uri else "off"}
    screen = open_screen(tally, console, places)
    screen.restore(ledger.trials())
    driver = Driver(
        file,
        ledger,
        Checkpoints(ledger.folder / "checkpoints", file.execution.keep_checkpoints),
        screen,
        in_flight=2 * workers,
    )
    if driver.finished:
        console.print(f"{file.study.name}: all {file.study.trials} trials have run already")
        return False
    if tally.ended:
        console.print(
            f"resuming {file.study.name}: {tally.ended} of {file.study.trials} trials are done"
        )
    console.print(
        f"{file.study.name}: {file.study.trials} trials, {workers} workers, objective {metric}"
        + (", selected on test" if objective.split == "test" else ""),
        highlight=False,
    )

    from study.ray_backend import Interrupt, gpus, run_trials, start_ray, stop_ray
    from study.trial import RefineVADRuns

    with Interrupt(screen.note).installed() as interrupt:
        start_ray(workers=workers, threads=file.execution.threads, address=args.address)
        try:
            on_gpu = gpus() > 0 and file.execution.device != "cpu"
            if file.execution.device == "cuda" and not on_gpu:
                raise InputError("execution.device: cuda, but Ray sees no GPU; use auto or cpu")
            runs = RefineVADRuns(
                file, store.path.resolve(), store.fingerprint, "cuda" if on_gpu else "cpu"
            )
            with screen:
                run_trials(driver, runs, interrupt, workers=workers, on_gpu=on_gpu)
        finally:
            stop_ray()
    if tally.busy_percent() and tally.ended > tally.resumed:
        console.print(
            f"{tally.ended - tally.resumed} trials in {time.monotonic() - tally.begun:.1f} s, "
            f"workers busy {tally.busy_percent():.0f}%",
            highlight=False,
        )
    return not driver.finished


def _print_next(
    console: Console,
    args: argparse.Namespace,
    file: StudyFile,
    folder: Path,
    records: list[TrialRecord],
    interrupted: bool,
) -> None:
    from study.checkpoints import Checkpoints
    from study.record import best

    again = f"python -m study.run --space {args.space}"
    for override in args.set:
        again += f" --set '{override}'"
    if interrupted:
        commands = [f"{again}   # goes on where this stopped"]
    else:
        more = 10 ** math.ceil(math.log10(file.study.trials + 1))
        commands = [
            "mlflow ui   # http://127.0.0.1:5000, then `Model training` at the top left",
            f"{again} --trials {more}   # extends the study",
        ]
    winner = best(records)
    checkpoint = Checkpoints(folder / "checkpoints", 0).path(winner.number) if winner else None
    if checkpoint and checkpoint.exists():
        evaluate = f"python -m refinevad.evaluate --config {args.space} --checkpoint"
        commands.append(f"{evaluate} {checkpoint}")
    console.print("\nnext:")
    for command in commands:
        console.print(f"  {command}", highlight=False, soft_wrap=True, markup=False)


def _meta(file: StudyFile, store: Store) -> StudyMeta:
    from study.record import StudyMeta

    return StudyMeta(
        name=file.study.name,
        uid=uuid.uuid4().hex[:12],
        hash=file.hash(store.fingerprint),
        config=file.model_dump(mode="json"),
        determinants=file.determinants(),
        fingerprint=store.fingerprint,
        metric=file.objective.metric,
        split=file.objective.split,
        created=time.time(),
        git_commit=_git_commit(),
        versions={"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _PACKAGES},
        trials=file.study.trials,
    )


def _git_commit() -> str | None:
    """Commit of this source tree, ``+`` when files differ from it; None outside a repository."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def _tracking_uri(flag: str | None) -> str | None:
    if flag == "none":
        return None
    from study.tracking import DEFAULT_URI

    return flag or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m study.run",
        description="Runs a hyperparameter study; started again, resumes it; with more trials, "
        "extends it. The same file and seed give the same trials at any number of workers.",
    )
    parser.add_argument(
        "--space",
        type=Path,
        required=True,
        metavar="FILE",
        help="study file (search_spaces/*.yaml)",
    )
    parser.add_argument(
        "--trials", type=_positive, metavar="N", help="trials in all, instead of the file's"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key of the file, e.g. --set study.name=xd2 (repeatable)",
    )
    parser.add_argument(
        "--workers", type=_positive, metavar="N", help="trials at once (default: one per core)"
    )
    parser.add_argument(
        "--address", metavar="ADDRESS", help="join this Ray cluster instead of starting Ray here"
    )
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="MLflow server or database, or none (default: $MLFLOW_TRACKING_URI, else "
        "sqlite:///mlflow.db, which a bare `mlflow ui` shows)",
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="ledgers (default: runs)"
    )
    cli.add_stores_argument(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, show the study, ten configurations and a forecast; start nothing",
    )
    return parser


if __name__ == "__main__":
    cli.run(main)
