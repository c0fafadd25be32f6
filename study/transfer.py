"""``python -m study.transfer --source S.yaml --target T.yaml``: transfer from data set S to T.

Three variants (the paper's Table 4) have the same seeds: trained on T; trained on T with the frozen
category head and prototypes of a model of S; a model of S scored on T without training. The models
of S are a study of their own. Both studies have a ledger, workers, tracking and verification as any
study. The same command resumes.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from refinevad import cli
from refinevad.cli import positive
from refinevad.errors import InputError, Stopped
from study.cli import add_session_arguments, study_named

if TYPE_CHECKING:
    from rich.console import Console

    from refinevad.config import DetectorConfig
    from refinevad.data import Store
    from study.config.study_file import StudyFile
    from study.config.variants import SourceSection
    from study.ledger.study import StudyView

VARIANTS = {
    "full": {},
    "frozen_core": {"start": "frozen_core"},
    "zero_shot": {"start": "zero_shot"},
}


def main(argv: list[str]) -> int:
    """Returns 1 where a model of the source has no checkpoint, 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    from rich.console import Console

    from refinevad.data import prepare
    from study.ledger.study import read_study
    from study.progress.output import Output
    from study.session.variants import comparison_study, run_study, say_defaults

    console = Console(file=cast(TextIO, Output(sys.stdout)))
    name = args.name or f"transfer_{args.source.stem}_to_{args.target.stem}"
    if len(args.from_study or []) > 2:
        raise InputError("--from-study takes one study for both, or the source's and the target's")
    like = [read_study(study_named(n, args.runs)) for n in args.from_study or []]
    source_file = comparison_study(
        args.source,
        [*args.set, *args.set_source],
        name=f"{name}_source",
        variants={"source": {}},
        seeds=args.seeds,
        like=like[0] if like else None,
    )
    stores = [prepare(source_file.data, args.stores)]
    # Checked before hours of training; the checkpoints are not there yet.
    target = _target(args, name, like, source=_unknown(args.seeds), detector=source_file.model)
    stores.append(prepare(target.data, args.stores))
    _require_compatible(source_file, target, stores, args)
    if not like:
        say_defaults(console, args.source, source_file)
        say_defaults(console, args.target, target)

    command = ["python", "-m", "study.transfer", *argv]
    if not run_study(console, args, command, source_file, stores[0]):
        return cli.INTERRUPTED
    source = _checkpoints(args.runs / source_file.study.name, args.seeds)
    target = _target(args, name, like, source=source, detector=source_file.model)
    if not run_study(console, args, command, target, stores[1]):
        return cli.INTERRUPTED
    _conclude(console, args, args.runs / name, source, stores)
    return 0


def _target(
    args: argparse.Namespace,
    name: str,
    like: list[StudyView],
    source: SourceSection,
    detector: DetectorConfig,
) -> StudyFile:
    """The comparison on the target; a detector without a CORE has no frozen one."""
    from study.session.variants import comparison_study

    variants = dict(VARIANTS)
    if "core" not in detector.transferable:
        del variants["frozen_core"]
    return comparison_study(
        args.target,
        [*args.set, *args.set_target],
        name=name,
        variants=variants,
        seeds=args.seeds,
        like=like[-1] if like else None,
        source=source,
    )


def _unknown(seeds: int) -> SourceSection:
    from study.config.variants import SourceSection

    return SourceSection(checkpoints=".", sha256=("",) * seeds)


def _checkpoints(folder: Path, seeds: int) -> SourceSection:
    """Checkpoints of the source's models, one for each seed."""
    from study.config.variants import SourceSection
    from study.trials.checkpoints import checkpoint_path

    hashes = []
    for seed in range(seeds):
        path = checkpoint_path(folder / "checkpoints", seed)
        if not path.exists():
            raise Stopped(
                f"{path} is missing: seed {seed} of the source failed or diverged; see "
                f"python -m study.report --study {folder}"
            )
        hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return SourceSection(checkpoints=str(folder / "checkpoints"), sha256=tuple(hashes))


def _require_compatible(
    source: StudyFile, target: StudyFile, stores: list[Store], args: argparse.Namespace
) -> None:
    """Requires the settings that a model of the source must share with the target's."""
    from refinevad.models.checkpoint import describe_widths

    widths = [describe_widths(store.widths) for store in stores]
    if list(stores[0].widths.items()) != list(stores[1].widths.items()):
        raise InputError(
            f"{args.source} has features {widths[0]}, {args.target} has {widths[1]}: transfer "
            "needs features of the same extraction"
        )
    if source.model.name != target.model.name:
        raise InputError(
            f"{args.source} trains {source.model.name}, {args.target} {target.model.name}; a "
            "transfer needs one detector: --set model.name=…"
        )
    if "core" not in source.model.transferable:
        return
    for field in ("d_model", "d_proj", "d_emb"):
        ours, theirs = getattr(source.model, field), getattr(target.model, field)
        if ours != theirs:
            raise InputError(
                f"{field} is {ours} for {args.source} and {theirs} for {args.target}; a frozen "
                f"CORE needs the same: --set model.{field}={ours}"
            )


def _conclude(
    console: Console,
    args: argparse.Namespace,
    folder: Path,
    source: SourceSection,
    stores: list[Store],
) -> None:
    from refinevad.files import or_stop
    from study.ledger.study import read_study
    from study.reporting.card import write_card
    from study.reporting.terminal import print_card
    from study.tables.transfer import agreement_card, transfer_card
    from study.text import say
    from study.tracking import TrackingUnavailable, show_analysis, tracking_address

    view = read_study(folder)
    cards = {
        "1_transfer": transfer_card(view),
        "2_category_agreement": agreement_card(view, Path(source.checkpoints), *stores),
    }
    for name, card in cards.items():
        print_card(console, card)
        with or_stop(folder / "cards"):
            write_card(card, folder / "cards" / name, fingerprint=view.meta.fingerprint)
    say(console, f"\nwritten: {folder / 'cards'}/ (tables, pictures)")
    if args.tracking_uri != "none":
        uri = tracking_address(args.tracking_uri)
        with suppress(TrackingUnavailable):  # the study has said so
            show_analysis(view, uri, {})
    say(console, f"next:\n  python -m study.report --study {folder}   # one page with both")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=cli.program("study.transfer"),
        description="Measures transfer between two data sets: training on the target from scratch, "
        "with frozen categories of the source, and scoring without training. Run the same command "
        "again to resume.",
    )
    for which in ("source", "target"):
        parser.add_argument(
            f"--{which}",
            type=Path,
            required=True,
            metavar="FILE",
            help=f"study file of the {which} (its search is not run)",
        )
    parser.add_argument(
        "--seeds", type=positive, default=5, metavar="N", help="seeds per variant (default: 5)"
    )
    parser.add_argument(
        "--from-study",
        nargs="+",
        metavar="NAME",
        help="take model and train from a study's best trial: one for both, or source and target",
    )
    parser.add_argument(
        "--name", metavar="NAME", help="name of the study (default: transfer_SOURCE_to_TARGET)"
    )
    add_session_arguments(parser)
    for which in ("source", "target"):
        parser.add_argument(
            f"--set-{which}",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help=f"like --set, for the {which} only",
        )
    return parser


if __name__ == "__main__":
    cli.run(main)
