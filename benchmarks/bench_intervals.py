"""Whether the intervals of importances cover: functions whose truth is known by brute force.

``python benchmarks/bench_intervals.py --size small --seeds 10`` runs ``study.importance`` on
studies of six families (tests/support/families.py) by the real search, and counts for
hyperparameters with a true share above .005 how often the interval holds it; how often a true
effect above .05 is called noise; how often one without effect is called important; and how often
the best tenth is said to differ in a hyperparameter without effect. ``small``: 120 space-filling
trials and 180 by TPE; ``large``: 300 and 700.
"""

from __future__ import annotations

import argparse
import statistics
import time

from common import publish

from study.analysis.importance import importance
from tests.support.families import FAMILIES, study_of, truth
from tests.support.known_functions import SPACE

SIZES = {"small": (300, 120), "large": (1000, 300)}
PRESENT, LARGE = 0.005, 0.05


def row_of(family: str, size: str, seeds: range) -> dict[str, object]:
    trials, space_filling = SIZES[size]
    true = truth(family)
    covered = present = noise = large = important = absent = tenth = 0
    widths, seconds, r2, models = [], [], [], []
    for seed in seeds:
        records = study_of(family, trials=trials, space_filling=space_filling, seed=seed)
        floor = FAMILIES[family].floor
        if floor is not None:
            records = [r for r in records if (r.objective or 0.0) >= floor]
        started = time.perf_counter()
        found = importance(records, SPACE, space_filling=space_filling, seed=seed)
        seconds.append(time.perf_counter() - started)
        r2.append(found.fit.r2.value)
        models.append(found.fit.model)
        for parameter in found.parameters:
            share, estimate = true[parameter.name], parameter.shares["permutation"]
            if share > PRESENT:
                present += 1
                covered += estimate.low <= share <= estimate.high
                widths.append(estimate.high - estimate.low)
            if share > LARGE:
                large += 1
                noise += parameter.negligible
            if share == 0:
                absent += 1
                important += parameter.above_noise and found.fit.trustworthy
        tenth += any(true[name] == 0 for name in found.apart or ())
    processes = models.count("Gaussian process")
    return {
        "family": family,
        "size": size,
        "seeds": len(seeds),
        "R²": f"{statistics.fmean(r2):.2f}",
        "Gaussian process": f"{processes} of {len(models)}",
        "covered": f"{covered} of {present}",
        "mean width": f"{statistics.fmean(widths):.3f}" if widths else "",
        "large called noise": f"{noise} of {large}",
        "absent called important": f"{important} of {absent}",
        "best tenth names an absent one": f"{tenth} of {len(seeds)}",
        "seconds": f"{statistics.fmean(seconds):.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--seeds", type=int, default=10, metavar="N")
    parser.add_argument("--families", nargs="*", choices=FAMILIES, default=list(FAMILIES))
    args = parser.parse_args()
    rows = []
    for family in args.families:
        rows.append(row_of(family, args.size, range(args.seeds)))
        print(rows[-1], flush=True)
    publish(
        f"intervals_{args.size}",
        rows,
        command=f"python benchmarks/bench_intervals.py --size {args.size} --seeds {args.seeds}",
    )


if __name__ == "__main__":
    main()
