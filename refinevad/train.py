"""``python -m refinevad.train``: one training run of a study file's data, model and train sections.

Writes ``checkpoint.safetensors`` (weights of the selected epoch), ``metrics.json``, ``curve.csv``
and ``training.png``.
"""

from __future__ import annotations

import argparse
import csv
import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel, ValidationError

from refinevad import cli
from refinevad.cli import (
    FLOOR_OF,
    METRIC_NAMES,
    SYNTHETIC,
    add_runtime_arguments,
    make_folder,
    number,
    runtime_of,
    table,
    to_json,
)
from refinevad.config.data import DataConfig
from refinevad.config.training import ObjectiveConfig, TrainConfig
from refinevad.data import Store, prepare
from refinevad.errors import InputError
from refinevad.models.registry import CONFIGS, DEFAULT
from refinevad.run_config import Config, load_config, searched_fields

if TYPE_CHECKING:
    from refinevad.training.results import EpochRecord, RunResult

DEFAULT_SEED = 42
WEIGHTS = "checkpoint.safetensors"
LOSS_TITLES = {"loss": "weighted sum", "mil": "MIL", "cat": "category", "gmm": "GMM"}


def main(argv: list[str]) -> int:
    """Trains, writes the results, prints a table. Returns 1 where the run diverged."""
    args = parser().parse_args(argv)
    config = load_config(args.config, args.set)
    _note_searched(args, config)
    objective = _objective(args)
    runtime = runtime_of(args)
    out = make_folder(args.out or Path("runs") / "train" / args.config.stem)
    store = prepare(config.data, args.stores)

    from refinevad.models.registry import detector_class
    from refinevad.training.judge import training_videos, with_epochs
    from refinevad.training.monitor import few_steps
    from refinevad.training.run import train

    seed = DEFAULT_SEED if config.train.seed is None else config.train.seed
    split_seed = DEFAULT_SEED if config.data.split_seed is None else config.data.split_seed
    started = time.perf_counter()
    losses = detector_class(config.model.name).loss_names
    length = with_epochs(config.train, store, config.data, objective, split_seed)
    config = config.model_copy(update={"train": length})
    epochs = 1 if config.model.fitted else config.train.epochs
    if not config.model.fitted:
        chosen = training_videos(store, config.data, objective, split_seed)[0]
        note = few_steps(store.train.labels[chosen], config.train.batch_size, epochs)
        if note:
            print(f"note: {note}", file=sys.stderr)
    with _progress(epochs, losses, f"{objective.split}/{objective.metric}") as on_epoch:
        result = train(
            store,
            config,
            seed=seed,
            split_seed=split_seed,
            objective=objective,
            runtime=runtime,
            on_epoch=on_epoch,
        )
    seeds = {"seed": seed, "split_seed": split_seed}
    _write(out, config, store, objective, result, seeds, time.perf_counter() - started)
    if result.diverged:
        print(
            f"error: training diverged in epoch {len(result.curve)} (a loss or a score is not"
            f" finite); try a smaller lr than {config.train.lr:g}. The curve is in {out}",
            file=sys.stderr,
        )
        return 1
    print(_report(args, out, store, result))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("refinevad.train"),
        description="Trains a detector once and evaluates it on the test set.\nA second run with "
        "the same file, seed and kind of hardware is bit-identical.",
        epilog=_fields(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cli.add_config_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the results; files of an earlier run there are replaced "
        "(default: runs/train/<name of the config file>)",
    )
    parser.add_argument(
        "--metric",
        choices=choices_of("metric"),
        default="ap",
        help="metric of checkpoint selection (default: ap)",
    )
    parser.add_argument(
        "--epoch",
        choices=choices_of("epoch"),
        default="best",
        help="what selects the epoch whose weights are kept, as objective.epoch (default: best)",
    )
    parser.add_argument(
        "--folds",
        type=cli.positive,
        default=1,
        metavar="K",
        help="train and judge on K random splits and report means; the checkpoint is of the first "
        "(default: 1)",
    )
    parser.add_argument(
        "--split",
        choices=["val", "test"],
        default="val",
        help="split of checkpoint selection: val, held-out training videos; or test, as published "
        'work does, and results are then marked "selected on test" (default: val)',
    )
    add_runtime_arguments(parser, precision=True)
    return parser


def _note_searched(args: argparse.Namespace, config: Config) -> None:
    """Prints the values that this run takes for fields that the file searches."""
    values = config.model.model_dump() | config.train.model_dump()
    searched = searched_fields(args.config, args.set)
    if searched:
        taken = " ".join(f"{name}={values[name]}" for name in searched)
        print(
            f"note: {args.config} searches these; this run uses {taken} (--set KEY=VALUE)",
            file=sys.stderr,
        )


def _objective(args: argparse.Namespace) -> ObjectiveConfig:
    values = {"metric": args.metric, "split": args.split, "epoch": args.epoch, "folds": args.folds}
    try:
        return ObjectiveConfig.model_validate(values)
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"]
        flags = f"--metric {args.metric} --split {args.split}"
        flags += f" --folds {args.folds}" if args.folds > 1 else ""
        raise InputError(f"{flags}: {message.removeprefix('Value error, ')}") from None


def choices_of(field: str) -> tuple[str, ...]:
    """The words that a field of the objective may be."""
    return get_args(ObjectiveConfig.model_fields[field].annotation)


def _fields() -> str:
    """Every key of the sections with its default and docstring, for ``--help``."""
    lines = ["keys of the file, each of which --set can override:"]
    sections: list[tuple[str, str, type[BaseModel]]] = [
        ("data", "", DataConfig),
        ("train", "", TrainConfig),
        *(("model", f"  ({name})", config) for name, config in CONFIGS.items()),
    ]
    for section, of, model in sections:
        for name, info in model.model_fields.items():
            if name == "name" and of != f"  ({DEFAULT})":
                continue
            default = "" if info.is_required() else f" = {info.default}"
            lines.append(f"\n  {section}.{name}{default}{of}")
            text = info.description or ""
            if name == "name":
                text = f"The detector: {', '.join(CONFIGS)}. Below, each with its own keys."
            lines += [f"      {line.strip()}" for line in text.splitlines()]
    return "\n".join(lines)


@contextmanager
def _progress(
    epochs: int, losses: Sequence[str], objective_name: str
) -> Iterator[Callable[[EpochRecord], None]]:
    """A bar on a terminal, else a line per epoch."""
    best = -math.inf

    def line(record: EpochRecord) -> str:
        nonlocal best
        best = max(best, record.objective)
        parts = "".join(
            f"  {name} {record.metrics.get(f'train/{name}', math.nan):.3g}" for name in losses
        )
        return (
            f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}{parts}  "
            f"{objective_name} {record.objective:.4f}  best {best:.4f}  {record.seconds:.1f} s"
        )

    if not sys.stderr.isatty():
        yield lambda record: print(line(record), file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = ("training", BarColumn(), MofNCompleteColumn(), "epochs", TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=epochs)

        def on_epoch(record: EpochRecord) -> None:
            bar.console.print(line(record), highlight=False, soft_wrap=True)
            bar.advance(task)

        yield on_epoch


def _write(
    out: Path,
    config: Config,
    store: Store,
    objective: ObjectiveConfig,
    result: RunResult,
    seeds: dict[str, int],
    seconds: float,
) -> None:
    from refinevad.figures import save_png, training_curves
    from refinevad.models import checkpoint
    from refinevad.models.registry import detector_class
    from refinevad.training.results import checkpoint_facts

    facts = {
        "objective": objective.model_dump(),
        "selection": result.selection,
        "selected_epoch": result.selected_epoch,
        "diverged": result.diverged,
        "selected": result.selected,
        "last": result.last,
        **seeds,
        "fingerprint": store.fingerprint,
        "synthetic": store.synthetic,
        "hardware": result.hardware,
        "seconds": round(seconds, 3),
        "config": config.model_dump(mode="json"),
    }
    text = to_json(facts)
    (out / "metrics.json").write_text(text + "\n", encoding="utf-8")

    names = list(dict.fromkeys(name for record in result.curve for name in record.metrics))
    with (out / "curve.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "objective", *names, "seconds"])
        for r in result.curve:
            values = [r.metrics.get(name, "") for name in names]
            writer.writerow([r.epoch, r.objective, *values, round(r.seconds, 3)])

    losses = {
        LOSS_TITLES.get(name, name): [
            record.metrics.get(f"train/{name}", math.nan) for record in result.curve
        ]
        for name in detector_class(config.model.name).loss_names
    }
    figure = training_curves(
        [record.objective for record in result.curve],
        losses,
        objective_name=_label(objective),
        selected_epoch=result.selected_epoch,
        note=SYNTHETIC if store.synthetic else "",
    )
    save_png(figure, out / "training.png")

    weights = out / WEIGHTS
    if result.model_state is None:
        weights.unlink(missing_ok=True)  # of an earlier run: it would be taken for this one's
        return
    checkpoint.save(
        weights,
        result.model_state,
        model=result.model,
        categories=store.categories,
        widths=store.widths,
        extra=checkpoint_facts(result, config, store, seeds),
    )


def _smoothing(result: RunResult) -> str:
    config = result.model
    return (
        f"smoothing chosen on held-out videos: smooth_segments {config.smooth_segments}, "
        f"video_share {config.video_share}."
    )


def _label(objective: ObjectiveConfig) -> str:
    if objective.split == "test":
        return f"test frame {objective.metric.upper()} (selected on test)"
    what = {"seg_auc": "segment AUC", "brier": "1 - Brier score"}.get(
        objective.metric, f"video {objective.metric.upper()}"
    )
    return f"validation {what}"


def _report(args: argparse.Namespace, out: Path, store: Store, result: RunResult) -> str:
    from refinevad.training.monitor import core_sentence, warnings_of

    selected, last = result.selected, result.last
    rows = [
        [title, number(selected[name]), number(last[name]), _floor(selected, name)]
        for name, title in METRIC_NAMES.items()
        if name in selected
    ]
    header = [
        "",
        f"epoch {result.selected_epoch}",
        f"last, {len(result.curve)}",
        "video-label baseline",
    ]
    how = "selected on test" if args.split == "test" else "selected on validation"
    if args.folds > 1:
        how += f" (means over {args.folds} folds; the checkpoint is of the first)"
    lines = [
        *([SYNTHETIC] if store.synthetic else []),
        table(header, rows),
        f"epoch {result.selected_epoch}: {how}, by {args.metric}. video-label baseline: a scorer "
        "that knows only whether the video is abnormal.",
        *([_smoothing(result)] if "smoothing/smooth_segments" in selected else []),
        *([core_sentence(selected) + "."] if core_sentence(selected) else []),
        *(f"warning: {text}." for text in warnings_of(selected)),
        "",
        f"written to {out}: checkpoint.safetensors, metrics.json, curve.csv, training.png",
        "next:",
        "  " + shlex.join(["python", "-m", "refinevad.evaluate", *_same_data(args, out)]),
        f"  python -m refinevad.score --checkpoint {shlex.quote(str(out / WEIGHTS))} "
        "--features VIDEO.npy" + (" --text CAPTIONS.npy" if len(store.widths) > 1 else ""),
    ]
    return "\n".join(lines)


def _floor(metrics: dict[str, float], name: str) -> str:
    return number(metrics[FLOOR_OF[name]]) if name in FLOOR_OF else ""


def _same_data(args: argparse.Namespace, out: Path) -> list[str]:
    """Flags with which another command reads these weights and this data."""
    flags = ["--checkpoint", str(out / WEIGHTS), "--config", str(args.config)]
    flags += [word for text in args.set for word in ("--set", text)]
    return flags + ([] if args.stores == Path("stores") else ["--stores", str(args.stores)])


if __name__ == "__main__":
    cli.run(main)
