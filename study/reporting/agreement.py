"""The agreement of two studies' importances on the terminal."""

from __future__ import annotations

from rich.console import Console

from study.analysis import sentences
from study.analysis.agreement import Agreement, Comparison, Regret
from study.ledger.records import best
from study.ledger.study import StudyView
from study.text import plain


def print_comparison(console: Console, found: Comparison) -> None:
    """Prints the importances of each study, then their agreement and regrets."""

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    for view, answer in zip(found.studies, found.answers, strict=True):
        say(f"{view.name} ({view.objective}): {sentences.finding(answer)}")
        if not answer.fit.trustworthy:
            say(f"  {sentences.fit_check(answer)}", style="bold yellow")
    names = ", ".join(found.agreement.names)
    say(f"\nagreement of the rankings over {names}:")
    say(f"  {_agreement(found.agreement)}", style="bold")
    for (source, target), carried in zip(
        (found.studies, found.studies[::-1]), found.regrets, strict=True
    ):
        say(f"\nthe best configuration of {source.name} on {target.name}:")
        winner = best(source.records)
        if carried is None or winner is None:
            say("  there is no best trial to compare")
            continue
        say(f"  trial {winner.number}: {plain(winner.params)}")
        for name, (was, there) in carried.moved.items():
            say(f"  {name} = {was} is not in the space of {target.name}; used {there} instead")
        say(f"  {_regret(carried, target)}", style="bold")


def _agreement(found: Agreement) -> str:
    tau = found.tau
    said = f"Kendall's tau {sentences.interval(tau)}"
    if tau.low > 0:
        return f"{said}: the rankings agree"
    if tau.high < 0:
        return f"{said}: the rankings are opposed"
    return f"{said}: these trials do not show whether the rankings agree"


def _regret(found: Regret, target: StudyView) -> str:
    loss = found.loss
    said = (
        f"loses {loss.value:.4f} [{loss.low:.4f}, {loss.high:.4f}] of {target.objective} "
        "against that study's own best (predicted by its surrogate model, not trained)"
    )
    return f"{said}: cannot be distinguished from no loss" if loss.low <= 0 <= loss.high else said
