"""Packing feature files into a store: seconds, megabytes a second and memory, against a copy.

``python benchmarks/bench_packing.py [--files 1610] [--width 512]``: files with the lengths of a
surveillance data set, packed by ``refinevad.prepare`` in a process of its own, beside a mere copy
of the same files, in turns. Both end on the disk (fsync), and the files are in the page cache,
which leaves the writing. Needs torch alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import publish, spread
from made_data import write_features

from refinevad.config.data import DataConfig
from refinevad.data import prepare

TEST_SHARE = 290 / 1900


def packed(config: DataConfig, stores: Path) -> None:
    """Called in a process of its own: prints its seconds and its memory."""
    before = peak_megabytes()
    started = time.perf_counter()
    prepare(config, stores, progress=False)
    seconds = time.perf_counter() - started
    print(json.dumps({"s": seconds, "MB": peak_megabytes(), "MB of the libraries": before}))


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def copied(files: list[Path], folder: Path) -> float:
    """Seconds to copy the files one by one, and to have them on the disk."""
    folder.mkdir()
    started = time.perf_counter()
    for file in files:
        with (folder / file.name).open("wb") as copy:
            copy.write(file.read_bytes())
    os.sync()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1610)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pack", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pack:
        packed(DataConfig.model_validate_json(args.pack[0]), Path(args.pack[1]))
        return
    test = round(args.files * TEST_SHARE)
    found: list[dict[str, float]] = []
    copies: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        config = write_features(
            root / "data", width=args.width, train=args.files - test, test=test, train_snippets=None
        )
        files = sorted((root / "data" / "features").iterdir())
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        os.sync()
        for turn in range(args.repeats):
            command = [sys.executable, __file__, "--pack", config.model_dump_json()]
            answer = subprocess.run(
                [*command, str(root / f"stores{turn}")], capture_output=True, text=True, check=True
            )
            found.append(json.loads(answer.stdout))
            copies.append(copied(files, root / f"copy{turn}"))
    rows: list[dict[str, object]] = []
    for side, values in (
        ("packed into a store", [one["s"] for one in found]),
        ("copied", copies),
    ):
        seconds = spread(values)["median"]
        rows.append(
            {
                "side": side,
                "s": seconds,
                "files": len(files),
                "MB read": megabytes,
                "MB read a second": megabytes / seconds,
            }
        )
    rows[0]["peak memory, MB"] = max(one["MB"] for one in found)
    rows[0]["of it before it began"] = found[0]["MB of the libraries"]
    publish(
        "packing",
        rows,
        command=f"python benchmarks/bench_packing.py --files {args.files} --width {args.width}",
    )


if __name__ == "__main__":
    main()
