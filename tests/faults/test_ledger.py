"""The ledger cut short or full of holes

What a power cut leaves of the last write: some of its bytes, blocks never written, or both.
"""

from __future__ import annotations

import json
import random
import resource
import shutil
from pathlib import Path

import pytest

from refinevad.files import CannotWrite
from study._private.optuna import JournalOperation
from study.ledger.journal import JOURNAL
from study.ledger.reader import LedgerReader
from study.ledger.records import digest
from study.ledger.writer import Ledger
from tests.faults.checks import ended_undisturbed, only_line, short
from tests.faults.conftest import Fault
from tests.study.test_ledger import META, begin, result
from tests.support.workspace import Undisturbed, Workspace, digest_of

SEED = 3


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, int, str]:
    """A ledger whose last write ended trial 1: its folder, where that write begins, its digest."""
    folder = tmp_path / "whole"
    ledger = Ledger(folder, META)
    begin(ledger, 0.25)
    ledger.finish(0, result(0.5))
    begin(ledger, 0.75)
    start = (folder / JOURNAL).stat().st_size
    ledger.finish(1, result(0.9))
    expected = digest(ledger.trials())
    ledger.close()
    return folder, start, expected


def recovers(folder: Path, content: bytes, expected: str) -> None:
    """A ledger of this content loses at most its last write, which may be done again."""
    folder.mkdir()
    (folder / JOURNAL).write_bytes(content)
    again = Ledger(folder, META)
    first, _ = again.trials()
    assert (first.state, first.objective) == ("COMPLETE", 0.5)
    again.finish(1, result(0.9))
    again.close()
    lines = [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]
    assert sum("result" in line.get("user_attr", {}) for line in lines) == 2
    assert digest(LedgerReader(folder).trials()) == expected
    assert "torn" in (again.recovered or "")


@pytest.mark.slow
def test_zeros_from_any_byte_of_the_last_write_on(
    fault: Fault, tmp_path: Path, written: tuple[Path, int, str]
) -> None:
    folder, start, expected = written
    content = (folder / JOURNAL).read_bytes()
    fault.done = "blocks at the end of the ledger never written"
    fault.how = f"NUL bytes from each of the {len(content) - start} bytes of the last write on"
    for at in range(start, len(content)):
        recovers(tmp_path / str(at), content[:at] + bytes(len(content) - at), expected)
    fault.after = "opened by Ledger; nothing earlier lost, one final record per trial, same digest"


@pytest.mark.slow
def test_a_hole_anywhere_in_the_last_write(
    fault: Fault, tmp_path: Path, written: tuple[Path, int, str]
) -> None:
    folder, start, expected = written
    content = (folder / JOURNAL).read_bytes()
    draw = random.Random(SEED)
    fault.done = "a hole in the middle of the ledger's last write, whole lines after it"
    fault.how = f"1 to 64 NUL bytes at each of its {len(content) - start} bytes (seed {SEED})"
    for at in range(start, len(content)):
        end = min(at + draw.randint(1, 64), len(content))
        holed = content[:at] + bytes(end - at) + content[end:]
        recovers(tmp_path / str(at), holed, expected)
    fault.after = "opened by Ledger; nothing earlier lost, one final record per trial, same digest"


def test_damage_before_the_last_write_is_named_not_cut(
    tmp_path: Path, written: tuple[Path, int, str]
) -> None:
    folder, start, _ = written
    content = (folder / JOURNAL).read_bytes()
    for at in range(content.index(b"\n") + 1, start - 1, 7):
        damaged = tmp_path / str(at)
        damaged.mkdir()
        (damaged / JOURNAL).write_bytes(content[:at] + b"\0" + content[at + 1 :])
        with pytest.raises(Exception, match="damaged in the middle"):
            Ledger(damaged, META)
        assert (damaged / JOURNAL).stat().st_size == len(content)


def test_after_a_write_that_failed_there_is_no_other(fault: Fault, tmp_path: Path) -> None:
    fault.done = "a record of which only 40 bytes fit on the disk"
    fault.how = "RLIMIT_FSIZE in the ledger's process, lifted at once"
    ledger = Ledger(tmp_path, META)
    begin(ledger, 0.25)
    before = (tmp_path / JOURNAL).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, hard))
    try:
        with pytest.raises(CannotWrite, match="too large") as refused:
            ledger.finish(0, result())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(CannotWrite):  # now there is room, but who knows what the file ends in?
        begin(ledger, 0.5)
    ledger.close()
    assert (tmp_path / JOURNAL).read_bytes() == before
    fault.seen = str(refused.value).replace(f"{tmp_path}/", "")
    fault.after = "those bytes taken back; this process writes nothing more"


def killed_after_the_last_result(journal: bytes) -> tuple[bytes, int]:
    """A finished study's journal without the seal of its end; where its last write begins."""
    lines = journal.splitlines(keepends=True)
    while json.loads(lines[-1])["op_code"] == JournalOperation.SET_STUDY_USER_ATTR:
        lines.pop()
    content = b"".join(lines)
    return content, content.rindex(b"\n", 0, content.rindex(b'"result"')) + 1


CUTS = {
    "a byte of its last line missing": lambda b, at: b[:-1],
    "cut in the middle of its last write": lambda b, at: b[: (at + len(b)) // 2],
    "cut between two lines of its last write": lambda b, at: b[: b.index(b"\n", at) + 1],
    "its last write gone but for one byte": lambda b, at: b[: at + 1],
    "zeros in place of its last write": lambda b, at: b[:at] + bytes(len(b) - at),
    "4096 zeros at its end": lambda b, at: b + bytes(4096),
    "a hole in its last write": lambda b, at: b[: at + 99] + bytes(512) + b[at + 611 :],
}


@pytest.mark.slow
@pytest.mark.parametrize("cut", CUTS)
def test_a_damaged_ledger_resumes(
    fault: Fault, workspace: Workspace, calm: Workspace, undisturbed: Undisturbed, cut: str
) -> None:
    fault.done = f"ledger: {cut}"
    fault.how = "in the journal.log of a study killed after its last result"
    shutil.copytree(calm.study, workspace.study)
    workspace.journal.write_bytes(
        CUTS[cut](*killed_after_the_last_result(workspace.journal.read_bytes()))
    )
    again = workspace.run("--workers", "1")
    assert digest_of(again) == undisturbed.digest
    told = [line for line in again.stdout.splitlines() if "torn" in line]
    fault.seen = (
        short(told[0], workspace).partition(", kept")[0] if told else "resumed without a word"
    )
    assert len(list(workspace.study.glob("journal.log.torn-*"))) == len(told)
    fault.after = ended_undisturbed(workspace, undisturbed)


@pytest.mark.slow
def test_a_ledger_damaged_in_the_middle(
    fault: Fault, workspace: Workspace, calm: Workspace
) -> None:
    fault.done = "ledger: one byte flipped in the middle"
    fault.how = "the first byte of line 4 of the finished study's journal.log"
    shutil.copytree(calm.study, workspace.study)
    lines = workspace.journal.read_bytes().splitlines(keepends=True)
    lines[3] = b"\xff" + lines[3][1:]
    damaged = b"".join(lines)
    workspace.journal.write_bytes(damaged)
    run = workspace.run("--workers", "1")
    assert run.returncode == 2
    line = only_line(run.stderr)
    assert "damaged in the middle" in line
    assert workspace.journal.read_bytes() == damaged
    fault.seen = f"exit 2: {short(line, workspace)}"
    fault.after = "not a byte of the ledger changed: nothing is guessed"
