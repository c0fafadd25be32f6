"""A study file made ready to run: what stands in it for something else takes its place.

Lengths in steps become epochs of these data; a study that has begun keeps the defaults of its
version and the configurations that it was begun with; entries of ``search.enqueue`` and
``search.import_trials`` that name a study, a table or a storage become configurations.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from refinevad.errors import InputError
from refinevad.training.judge import with_epochs
from study.backend.cpu_packing import with_threads
from study.config.sections import SOURCES, ImportedTrial
from study.config.study_file import StudyFile
from study.ledger.records import ranked
from study.ledger.study import as_in_ledger, read_named
from study.session.inherit import inherited_study
from study.space.dimension import Params
from study.space.membership import contains
from study.space.seeds import derived_seed
from study.text import plain

if TYPE_CHECKING:
    from refinevad.data import Store

Say = Callable[[str], None]
Found = tuple[str, dict[str, Any], float | None]
"""Where a trial was found, its settings, its objective."""


def of_these_data(file: StudyFile, store: Store) -> StudyFile:
    """The study with `epochs` in place of `train.steps`, which the data decide."""
    length = with_epochs(file.train, store, file.data, file.objective, file.split_seed)
    return file if length is file.train else file.model_copy(update={"train": length})


def prepared(
    file: StudyFile,
    store: Store,
    folder: Path,
    say: Say = lambda text: None,
    *,
    workers: int | None = None,
) -> StudyFile:
    """The study as it runs in ``folder``.

    Args:
        file: As it was read.
        store: Its data.
        folder: ``runs/<study>``; other studies are looked for beside it.
        say: Called with a sentence on every configuration that is left out, or on what is measured.
        workers: Trials at once that the user wants; None: as many as fit.

    Raises:
        InputError: A study, table or storage cannot be read, or has nothing that fits.
    """
    file = as_in_ledger(of_these_data(file, store), folder)
    file = with_threads(file, store, workers=workers, say=say)
    file = inherited_study(file, store, folder.parent, say)
    search = file.search
    enqueue = [
        params
        for item in search.enqueue
        for params in (
            _enqueued(file, item, folder.parent, say) if SOURCES & item.keys() else [dict(item)]
        )
    ]
    imported = [
        trial
        for item in search.import_trials
        for trial in (
            [item] if isinstance(item, ImportedTrial) else _imported(file, item, folder.parent, say)
        )
    ]
    if enqueue == list(search.enqueue) and imported == list(search.import_trials):
        return file
    changed = search.model_copy(
        update={"enqueue": tuple(enqueue), "import_trials": tuple(imported)}
    )
    return file.model_copy(update={"search": changed})


def _enqueued(file: StudyFile, item: Mapping[str, Any], runs: Path, say: Say) -> list[Params]:
    if "preset" in item:
        _require_keys(item, {"preset"})
        if item["preset"] != "defaults":
            raise InputError(
                f"search.enqueue: there is no preset {item['preset']!r}; there is: defaults"
            )
        fields = {**type(file.model).model_fields, **type(file.train).model_fields}
        settings = {name: fields[name].get_default() for name in file.space if name in fields}
        return _fitting(file, [("preset defaults", settings, None)], say, whole=False)
    if "like_best_of" in item:
        return _like_best(file, item, runs, say)
    if "from_study" in item:
        _require_keys(item, {"from_study", "top"})
        top = item.get("top", 1)
        if not isinstance(top, int) or isinstance(top, bool) or top < 1:
            raise InputError(f"search.enqueue: top is {top!r}; expected a whole number from 1")
        found = list(_of_study(str(item["from_study"]), runs))[:top]
        return _fitting(file, found, say)
    _require_keys(item, {"from_csv"})
    return _fitting(file, list(_of_csv(file, Path(str(item["from_csv"])))), say, whole=False)


def _like_best(file: StudyFile, item: Mapping[str, Any], runs: Path, say: Say) -> list[Params]:
    """Draws from the marginals of another study's best tenth."""
    from study.analysis.prior import draws, informative

    _require_keys(item, {"like_best_of", "draws"})
    count = item.get("draws", 10)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise InputError(f"search.enqueue: draws is {count!r}; expected a whole number from 1")
    view = read_named(str(item["like_best_of"]), runs)
    evenly = view.file.search.evenly(len(view.records))
    seed = derived_seed(file.study.seed, 0, f"like best of {view.meta.uid}")
    marginals = informative(view.compared, view.file.distributions(), evenly, seed)
    used = [name for name in marginals if name in file.space]
    if not used:
        raise InputError(
            f"search.enqueue: in no hyperparameter of this study do the best trials of {view.name} "
            "differ from its others, as far as its space-filling trials can tell; leave it out"
        )
    say(f"{count} configurations are drawn like the best of {view.name} in {', '.join(used)}")
    found = draws(marginals, file.distributions(), 20 * count, seed)
    fits = [params for params in found if file.accepts(params)][:count]
    if len(fits) < count:
        raise InputError("search.enqueue: hardly any draw fulfils the constraints")
    return fits


def _imported(
    file: StudyFile, item: Mapping[str, Any], runs: Path, say: Say
) -> list[ImportedTrial]:
    if "from_study" in item:
        _require_keys(item, {"from_study"})
        found = list(_of_study(str(item["from_study"]), runs))
        found.reverse()  # the best one is the newest
    elif "from_csv" in item:
        _require_keys(item, {"from_csv"})
        found = list(_of_csv(file, Path(str(item["from_csv"]))))
    elif "from_optuna" in item:
        _require_keys(item, {"from_optuna", "study"})
        found = list(_of_optuna(str(item["from_optuna"]), item.get("study")))
    else:
        raise InputError(
            "search.import_trials: an entry names from_study, from_csv or from_optuna (with study)"
        )
    valued = [entry for entry in found if entry[2] is not None]
    if not valued:
        raise InputError(
            f"search.import_trials: no trial with an objective in {plain(dict(item))}; give a "
            "table a column `objective`"
        )
    trials = []
    for entry in valued:
        for params in _fitting(file, [entry], say):
            assert entry[2] is not None
            trials.append(ImportedTrial(params=params, objective=entry[2]))
    if not trials:
        raise InputError(
            f"search.import_trials: no trial of {plain(dict(item))} fits this study; widen the "
            "space, or leave it out"
        )
    return trials


def _require_keys(item: Mapping[str, Any], known: set[str]) -> None:
    if other := sorted(item.keys() - known):
        raise InputError(
            f"search: an entry has {', '.join(other)} beside {', '.join(sorted(known))}; "
            "give each source an entry of its own"
        )


def _fitting(file: StudyFile, found: Sequence[Found], say: Say, whole: bool = True) -> list[Params]:
    """The searched settings of what is in the space; the rest is named and left out.

    Args:
        file: The study.
        found: What was found elsewhere.
        say: Called with a sentence on what is left out.
        whole: Whether a configuration that lacks a hyperparameter is left out too.
    """
    spaces = file.distributions()
    fits = []
    for where, settings, _ in found:
        params = {name: settings[name] for name in spaces if name in settings}
        outside = [name for name, value in params.items() if not contains(spaces[name], value)]
        lacks = [name for name in spaces if name not in settings]
        if not whole:
            params = {name: value for name, value in params.items() if name not in outside}
        if outside and whole:
            text = ", ".join(f"{name} = {settings[name]!r}" for name in outside)
            say(f"{where} is left out: {text} is not in this space")
        elif lacks and whole:
            say(f"{where} is left out: it has no {', '.join(lacks)}")
        elif not file.accepts(params):
            say(f"{where} is left out: it does not fulfil the constraints")
        elif params:
            fits.append(params)
    return fits


def _of_study(name: str, runs: Path) -> Iterator[Found]:
    """Every trial of a study that has a result, the best first."""
    view = read_named(name, runs)
    for record in ranked(view.compared):
        config = view.file.trial_config(record.params)
        settings = config.model.model_dump() | config.train.model_dump() | record.params
        yield f"trial {record.number} of {view.name}", settings, record.objective


def _of_csv(file: StudyFile, path: Path) -> Iterator[Found]:
    """The rows of a table: a column per hyperparameter, and `objective` or `value` if there is."""
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not rows:
        raise InputError(f"{path}: no rows; expected a header and a row for each configuration")
    columns = {
        column: name
        for column in rows[0]
        for name in file.space
        if column in (name, f"params/{name}", f"params.{name}", f"params_{name}")
    }
    if not columns:
        raise InputError(
            f"{path}: no column is a hyperparameter of this study ({', '.join(file.space)}); found "
            f"{', '.join(map(str, rows[0]))}"
        )
    for number, row in enumerate(rows, 2):
        settings = {}
        for column, name in columns.items():
            if row[column] not in (None, ""):
                settings[name] = _number(file, name, row[column])
        objective = next((row[key] for key in ("objective", "value") if row.get(key)), None)
        try:
            value = None if objective is None else float(objective)
        except ValueError:
            raise InputError(
                f"{path}, line {number}: objective {objective!r} is not a number"
            ) from None
        yield f"{path}, line {number}", settings, value


def _number(file: StudyFile, name: str, text: str) -> Any:
    """A cell as the space has its values: text only where a choice is text."""
    choices = file.space[name].choice or ()
    if text in choices:
        return text
    try:
        value = float(text)
    except ValueError:
        return yaml.safe_load(text)
    return int(value) if value.is_integer() and file.space[name].whole else value


def _of_optuna(url: str, study: object) -> Iterator[Found]:
    """The completed trials of a study in a storage of Optuna, oldest first; to be maximized."""
    import optuna

    try:
        storage: Any = url
        if "://" not in url:
            backend = optuna.storages.journal.JournalFileBackend
            if not Path(url).is_file():
                raise InputError(f"{url}: no such journal file of Optuna")
            storage = optuna.storages.JournalStorage(backend(url))
        found = optuna.load_study(study_name=None if study is None else str(study), storage=storage)
        if len(found.directions) != 1:
            raise InputError(f"{url}: a study of several objectives; import one of one objective")
        sign = 1 if found.direction == optuna.study.StudyDirection.MAXIMIZE else -1
        trials = found.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{url}: Optuna cannot read it: {error}") from None
    for trial in trials:
        assert trial.value is not None
        yield f"trial {trial.number} of {url}", dict(trial.params), sign * trial.value
