"""``prepare``: the store of a data section, packed on first use and whenever a source changed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from refinevad.config.data import HOW_SOURCES_ARE_READ, DataConfig
from refinevad.data import synthetic
from refinevad.data.packing import pack
from refinevad.data.problems import Problems
from refinevad.data.sources import ResolvedData, modalities, read_sources
from refinevad.data.store import Store, open_store
from refinevad.errors import InputError, Stopped
from refinevad.files import fsync_folder, locked, write_durably

Source = tuple[str, str, int, int]
"""Modality ("" for lists and annotations), path (relative to its root), bytes, mtime in ns."""


def prepare(config: DataConfig, stores: Path = Path("stores"), *, progress: bool = True) -> Store:
    """Opens the packed store of a data section; packs it first where it is absent or out of date.

    One process packs, others wait for it. The store appears complete or not at all: it is
    written beside its place, flushed to disk and renamed. Where the whole source folder is gone
    (packed here, or copied from elsewhere, and the raw features removed) the store is used as
    it is.

    Args:
        config: The data section. ``val_fraction``, ``split_seed`` and ``test_length`` do not
            change a store.
        stores: Folder of packed stores, made when needed.
        progress: Show a progress bar (on a terminal) or a line, and notes on the data.

    Raises:
        InputError: The sources are missing or do not agree; every offender is named.
    """
    path = stores / store_name(config)
    store, why = _up_to_date(path, config, stores)
    if store is not None:
        return store
    _make(stores)
    with _builder(config, stores, path.name, progress):
        store, why = _up_to_date(path, config, stores)
        if store is not None:
            return store
        if progress and why:
            print(f"{path}: {why}; packing again", file=sys.stderr)
        store = _build(path, config, stores, progress)
    if progress:
        for note in store.header.notes:
            print(f"note: {note}", file=sys.stderr)
    return store


def store_name(config: DataConfig) -> str:
    """``<readable>-<hash>`` of the part of a data section that decides what is packed."""
    if config.synthetic is not None:
        readable = f"synthetic-{config.synthetic}"
    else:
        root = next(iter(modalities(config).values())).root.resolve()
        readable = re.sub(r"[^A-Za-z0-9.-]+", "-", root.name).strip("-.") or "data"
    canonical = json.dumps(_relevant(config), sort_keys=True)
    return f"{readable}-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"


def _relevant(config: DataConfig) -> dict[str, Any]:
    """The data section's share in a store's content, with absolute paths."""
    section: dict[str, Any] = {"taxonomy": config.taxonomy, "segments": config.segments}
    if config.synthetic is not None:
        return {**section, "synthetic": config.synthetic, "generator": synthetic.VERSION}
    for name, source in modalities(config).items():
        section[name] = {
            key: str(value.resolve()) if isinstance(value, Path) else value
            for key, value in source.model_dump().items()
        }
    if config.annotations is not None:
        section["annotations"] = str(config.annotations.resolve())
    if config.groups is not None:
        section["groups"] = str(config.groups.resolve())
    if config.category_embeddings is not None:
        section["category_embeddings"] = str(config.category_embeddings.resolve())
    return section | _not_at_default(config)


def _not_at_default(config: DataConfig) -> dict[str, Any]:
    """Fields that version 0.4 did not have, where they say something: its stores stay valid."""
    fields = type(config).model_fields
    return {
        name: value
        for name in HOW_SOURCES_ARE_READ
        if (value := getattr(config, name)) != fields[name].default
    }


def _up_to_date(path: Path, config: DataConfig, stores: Path) -> tuple[Store | None, str]:
    """The store if it is up to date; else the reason why not ("" where there is none)."""
    if not path.is_dir():
        return None, ""
    try:
        store = open_store(path)
        manifest: list[Source] = [tuple(s) for s in json.loads(_manifest(path).read_text())]
    except (InputError, OSError, ValueError) as error:
        return None, str(error).partition(";")[0]
    roots = _roots(_real(config, stores))
    if not any(root.exists() for root in roots.values()):
        return store, ""
    changed = [s[1] for s in manifest if _stat(roots, s[0], s[1]) != s]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return None, f"{changed[0]}{more} changed or went away since it was packed"
    return store, ""


def _build(path: Path, config: DataConfig, stores: Path, progress: bool) -> Store:
    files = _real(config, stores)
    problems = Problems()
    sources = read_sources(files, problems)
    manifest = _sources(files, sources)  # before the data is read: a change meanwhile is seen
    for leftover in path.parent.glob(f".{path.name}.*.tmp*"):
        shutil.rmtree(leftover)  # of a builder that died; the lock says that none is alive
    new = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        new.mkdir()
        pack(
            sources,
            new,
            segments=config.segments,
            frames=config.snippet_frames,
            name=path.name,
            synthetic=config.synthetic,
            data=_relevant(config),
            problems=problems,
            progress=progress,
        )
        write_durably(_manifest(new), json.dumps(manifest))
        fsync_folder(new)
        old = new.with_name(f"{new.name}.old")
        if path.exists():
            path.rename(old)  # readers keep their maps
        new.rename(path)
        fsync_folder(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise Stopped(
            f"cannot write {path}: {error.strerror or error}; fix this, or give another folder "
            "with --stores"
        ) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return open_store(path)


def _real(config: DataConfig, stores: Path) -> DataConfig:
    """The data section in terms of files, which a synthetic one gets from the generator."""
    if config.synthetic is None:
        return config
    return synthetic.data_config(config, synthetic.folder(config.synthetic, stores))


def _sources(config: DataConfig, sources: ResolvedData) -> list[Source]:
    roots = _roots(config)
    manifest: dict[tuple[str, str], None] = {}
    for video in (*sources.train, *sources.test):
        for modality, part in video.parts.items():
            for file in part.files:
                inside = file.path.is_relative_to(roots[modality])
                shown = file.path.relative_to(roots[modality]) if inside else file.path.resolve()
                manifest[modality, str(shown)] = None
    for source in modalities(config).values():
        for path in (source.train_list, source.test_list):
            if path is not None:
                manifest["", str(path.resolve())] = None
    for path in (config.annotations, config.groups, config.category_embeddings):
        if path is not None:
            manifest["", str(path.resolve())] = None
    return [_stat(roots, modality, path) for modality, path in manifest]


def _roots(config: DataConfig) -> dict[str, Path]:
    return {name: source.root for name, source in modalities(config).items()}


def _stat(roots: dict[str, Path], modality: str, path: str) -> Source:
    full = roots[modality] / path if modality else Path(path)
    try:
        stat = full.stat()
    except OSError:
        return modality, path, -1, -1
    return modality, path, stat.st_size, stat.st_mtime_ns


def _manifest(store: Path) -> Path:
    return store / "manifest.json"


def _make(stores: Path) -> None:
    try:
        stores.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder of packed stores {stores}: {error.strerror}; "
            f"give another folder with --stores"
        ) from None


@contextmanager
def _builder(config: DataConfig, stores: Path, name: str, progress: bool) -> Iterator[None]:
    """Lets one process build a store at a time, and protects its generated files meanwhile.

    Stores of one synthetic kind (with different ``segments``) are packed from the same files.
    """
    waiting = f"{name} is being packed by another process; waiting" if progress else None
    with locked(stores / f".{name}.lock", waiting), ExitStack() as held:
        if config.synthetic is not None:
            path = synthetic.folder(config.synthetic, stores)
            held.enter_context(synthetic.generated(config.synthetic, path))
        yield
