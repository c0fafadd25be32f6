"""Whether CORE acted in the runs that a comparison stands on."""

from __future__ import annotations

from collections.abc import Iterable

from refinevad.training.monitor import core_is_inactive
from study.config.variants import VARIANT
from study.ledger.records import TrialRecord, selected_metrics


def inactive_core(records: Iterable[TrialRecord]) -> str:
    """A sentence that names the variants with an inactive CORE; empty if there is none.

    Args:
        records: Ended trials of a comparison study.
    """
    found: dict[str, list[bool]] = {}
    for record in records:
        metrics = selected_metrics(record)
        if "core/s_abnormal" in metrics:
            found.setdefault(str(record.params[VARIANT]), []).append(core_is_inactive(metrics))
    listed = [f"{name} ({sum(own)} of {len(own)} runs)" for name, own in found.items() if any(own)]
    if not listed:
        return ""
    return (
        f"CORE is inactive in {', '.join(listed)}: no category reaches the threshold, and all "
        "prototypes weigh the same (eq. 6). Variants that differ only in how prototypes are mixed "
        "could not differ there."
    )
