"""``python -m study.run --space FILE``: runs, resumes or extends a study."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from refinevad import cli
from refinevad.cli import positive
from study.cli import add_session_arguments

if TYPE_CHECKING:
    from study.config.study_file import StudyFile
    from study.session.session import Outcome, SessionOptions


def main(argv: list[str]) -> int:
    """Returns 1 where no trial has a result, 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    from rich.console import Console

    from study.config.load import load_study
    from study.progress.output import Output
    from study.tracking import tracking_address

    console = Console(file=cast(TextIO, Output(sys.stdout)))
    tracking_uri = None if args.tracking_uri == "none" else tracking_address(args.tracking_uri)
    trials = [] if args.trials is None else [f"study.trials={args.trials}"]
    budget = [] if args.budget is None else [f"study.budget={args.budget}"]
    file = load_study(args.space, [*args.set, *trials, *budget], _note)

    from refinevad.data import prepare
    from study.session.prepared import prepared

    store = prepare(file.data, args.stores)
    file.check_against(store.widths, args.space)
    folder = args.runs / file.study.name
    if args.dry_run:
        at_once = 1 if args.backend == "serial" else args.workers
        file = prepared(file, store, folder, _note, workers=at_once)
        from study.backend import open_backend
        from study.session.dry_run import print_dry_run

        backend = open_backend(args.backend, address=args.address, workers=args.workers)
        workers = args.workers or backend.workers(file.execution.threads)
        print_dry_run(console, file, store, workers=workers, folder=folder)
        return 0

    from study.ledger.records import best
    from study.session.session import SessionOptions, run_session

    options = SessionOptions(
        folder, tracking_uri, args.workers, args.address, args.backend, args.baselines
    )
    try:
        outcome = run_session(file, store, options, console)
    except KeyboardInterrupt:  # before Ray had started: later ones end a session in order
        again = _command("study.run", argv)
        console.print(f"\nInterrupted. Finished trials are saved. To resume, run:\n  {again}")
        return cli.INTERRUPTED
    for line in _advice(argv, args, file, options, outcome):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    if outcome.interrupted:
        return cli.INTERRUPTED
    return 0 if best(outcome.records) else 1


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def _advice(
    argv: list[str],
    args: argparse.Namespace,
    file: StudyFile,
    options: SessionOptions,
    outcome: Outcome,
) -> list[str]:
    """Commands to run next, with the flags that this one was given."""
    from study.ledger.records import best
    from study.trials.checkpoints import Checkpoints

    again = _command("study.run", argv)
    lines = ["", "next:"]
    if outcome.interrupted:
        lines.append(f"  {again}   # resumes the study")
    if not (outcome.published or outcome.interrupted):  # else it goes on by itself
        rest = ["--study", str(options.folder)]
        if args.tracking_uri:
            rest += ["--tracking-uri", args.tracking_uri]
        missing = f"MLflow is still missing some trials, see {options.folder / 'publisher.log'}"
        lines.append(f"  {_command('study.publish', rest)}   # {missing}")
    if options.tracking_uri:
        lines.append(f"  {_view(options.tracking_uri)}")
    if winner := best(outcome.records):
        shown = ["--study", str(options.folder)]
        if args.tracking_uri:
            shown += ["--tracking-uri", args.tracking_uri]
        what = "one HTML page: the results and which hyperparameters matter"
        if file.variants:
            what = "one HTML page: the variants compared, with intervals"
        lines.append(f"  {_command('study.report', shown)}   # {what}")
    stores = [] if args.stores == Path("stores") else ["--stores", str(args.stores)]
    if not outcome.interrupted:
        if winner and not file.variants:
            confirm = _command("study.confirm", ["--study", str(options.folder), *stores])
            what = "trains the best configurations again: which to trust, and what was luck"
            lines.append(f"  {confirm}   # {what}")
        verify = _command("study.verify", ["--study", str(options.folder), *stores])
        lines.append(f"  {verify}   # verifies it: re-proposes all trials, retrains some")
        more = ["--trials", str(2 * file.study.trials)]
        if file.seeds is not None:
            more = ["--set", f"seeds={2 * file.seeds}"]
        if len(outcome.records) < file.study.trials and file.study.budget is not None:
            more = ["--budget", f"{2 * file.study.budget:g}s"]
        longer = _command("study.run", [*_without(argv, more[0]), *more])
        lines.append(f"  {longer}   # extends the study")
    if winner:
        checkpoint = Checkpoints(options.folder / "checkpoints", 0).path(winner.number)
        if checkpoint.exists():
            config = ["--config", str(options.folder / "study.yaml"), *stores]
            command = ["python", "-m", "refinevad.evaluate", "--checkpoint", str(checkpoint)]
            lines.append(f"  {shlex.join([*command, *config])}")
    return lines


def _command(module: str, argv: list[str]) -> str:
    """The command to type, without the passwords it contained."""
    from study.tracking import redact

    words = [redact(word) if "://" in word else word for word in argv]
    return shlex.join(["python", "-m", module, *words])


def _view(uri: str) -> str:
    from study.tracking import DEFAULT_URI, redact

    if uri == DEFAULT_URI:
        return (
            "mlflow ui   # http://127.0.0.1:5000, `Model training`, the study, then the link above "
            "its table"
        )
    if uri.startswith("http"):
        return f"open {redact(uri)}, then `Model training` at the top left"
    return f"mlflow ui --backend-store-uri {redact(uri)}"


def _without(argv: list[str], flag: str) -> list[str]:
    kept: list[str] = []
    for word, before in zip(argv, ["", *argv], strict=False):
        if flag == "--set" or (flag not in (word, before) and not word.startswith(f"{flag}=")):
            kept.append(word)
    return kept


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("study.run"),
        description="Runs a hyperparameter study. Run the same command again to resume it, or with "
        "more trials to extend it. The same file and seed give the same trials with any number of "
        "workers.",
    )
    parser.add_argument(
        "--space",
        type=Path,
        required=True,
        metavar="FILE",
        help="study file (search_spaces/*.yaml)",
    )
    parser.add_argument(
        "--trials", type=positive, metavar="N", help="total number of trials (default: the file's)"
    )
    parser.add_argument(
        "--budget",
        metavar="TIME",
        help="longest time that the study runs, all its sessions together, such as 8h; running "
        "trials then end, and a larger one extends the study (default: the file's, else none)",
    )
    add_session_arguments(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything and print the study, ten configurations and a time forecast, "
        "without starting the study",
    )
    return parser


if __name__ == "__main__":
    cli.run(main)
