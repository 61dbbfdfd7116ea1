"""``asteroid compare``: errors and costs of training strategies on one store."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from asteroid.cli.common import JsonOption, make_table, out, parse_level, print_json
from asteroid.errors import AsteroidError, InputError, suggest
from asteroid.store import paths

if TYPE_CHECKING:
    from asteroid.comparison.plan import ComparisonSettings
    from asteroid.levels import LevelOfTheory
    from asteroid.manifest import MoleculeSettings
    from asteroid.store import Store

T = TypeVar("T")

CHEAP_LABELS = "cheap labels"
LOG_SECONDS = 30.0
"""Seconds between two lines of progress in a file."""


def compare(
    molecule: Annotated[str, typer.Option("--molecule", help="Name of the molecule in the store.")],
    n_accurate: Annotated[
        str, typer.Option("--n-accurate", help="Accurate labels, held-out ones included: 50, or 25,50,100.")
    ],
    out_file: Annotated[Path, typer.Option("--out", help="JSON file to write.")],
    cheap: Annotated[
        str | None, typer.Option("--cheap", help="Level of theory with many labels; the manifest's when not given.")
    ] = None,
    accurate: Annotated[
        str | None, typer.Option("--accurate", help="Level of theory with few labels; the manifest's when not given.")
    ] = None,
    variants: Annotated[
        str, typer.Option("--variants", "--arms", help="Strategies, separated by commas.")
    ] = "scratch,unweighted,weighted,distilled,corrected",
    seeds: Annotated[
        str, typer.Option("--seeds", help="Seeds of frame selection and random weights: 0, or 0,1,2.")
    ] = "0,1,2",
    test_frames: Annotated[int, typer.Option("--test-frames", help="Largest number of test frames.")] = 1000,
    cheap_frames: Annotated[
        int | None, typer.Option("--cheap-frames", help="Largest number of cheap training labels; all when not given.")
    ] = None,
    valid_fraction: Annotated[
        float, typer.Option("--valid-fraction", help="Fraction of the accurate labels held out for early stopping.")
    ] = 0.2,
    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="YAML file with training settings of this molecule.")
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Folder or URL; the manifest's, else ./store, when not given.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="HTML page to write; beside --out when not given.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Parallel trainings, one core each; all cores when 0.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Train each strategy on the same accurate labels and compare their errors and costs.

    Runs strategies × label counts × seeds on one store and tests them on its test frames. After an interruption, run it
    again: it computes only what is missing. Missing cheap labels are computed if the level is semiempirical.

    Writes a JSON file and a page; errors in eV and eV/Å. Exits with 1 when no strategy gave a model, or when a training
    failed that another run may finish.
    """
    from asteroid.comparison.cheap_labels import label_cheaply
    from asteroid.comparison.plan import ComparisonSettings, check_store, make_plan
    from asteroid.comparison.run import run_comparison
    from asteroid.manifest import TrainingSettings
    from asteroid.stages.atoms import compute_atoms
    from asteroid.store import Store
    from asteroid.strategies import strategy_named

    chosen, manifest_store = _from_manifest(manifest, molecule)
    settings = ComparisonSettings(
        molecule=molecule,
        cheap=_level("--cheap", cheap, chosen.cheap if chosen else None),
        accurate=_level("--accurate", accurate, chosen.accurate if chosen else None),
        variants=_listed("--variants", variants, str),  # type: ignore[arg-type]  # checked by ComparisonSettings
        n_accurate=_listed("--n-accurate", n_accurate, int),
        seeds=_listed("--seeds", seeds, int),
        test_frames=test_frames,
        cheap_frames=cheap_frames,
        valid_fraction=valid_fraction,
        training=chosen.training if chosen else TrainingSettings(),
    )
    page = html or out_file.with_suffix(".html")
    _check_files(out_file, page)
    opened = Store(store or manifest_store or "./store")
    check_store(opened, settings)
    cores = workers or len(os.sched_getaffinity(0))
    with _Bar(quiet=as_json) as bar:
        label_cheaply(opened, settings, workers=cores, on_progress=bar.count)
        difference = any(strategy_named(variant).learns_difference for variant in settings.variants)
        for level in (settings.accurate, *([settings.cheap] if difference else [])):
            compute_atoms(opened, settings.molecule, level)
        plan = make_plan(opened, settings)
        outcome = run_comparison(opened, plan, workers=cores, on_progress=bar.show)
    _write(opened, settings, outcome.data, out_file, page)
    if as_json:
        print_json(outcome.data)
    else:
        _print(outcome.data)
        out.print(f"\nWritten: {out_file} and {page}", markup=False)
    if outcome.broken or all(row["reason"] for row in outcome.data["results"]):
        raise typer.Exit(1)


class _Bar:
    """Progress on standard error: a bar in a terminal, lines in a file."""

    def __init__(self, *, quiet: bool) -> None:
        console = Console(stderr=True)
        columns = (MofNCompleteColumn(), BarColumn(bar_width=20), TextColumn("{task.description}", markup=False))
        self._progress = Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)
        self._task = self._progress.add_task("", total=None)
        self._lines = not quiet and not console.is_terminal
        self._done, self._logged = -1, -LOG_SECONDS

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def count(self, done: int, total: int) -> None:
        self.show(done, total, CHEAP_LABELS)

    def show(self, done: int, total: int, note: str) -> None:
        self._progress.update(self._task, completed=done, total=total, description=note)
        now = time.monotonic()
        # A line for each finished training, and for the current step every LOG_SECONDS.
        if self._lines and (now - self._logged >= LOG_SECONDS or (done != self._done and note != CHEAP_LABELS)):
            print(f"{time.strftime('%H:%M:%S')} {done} of {total} {note}".rstrip(), file=sys.stderr, flush=True)
            self._done, self._logged = done, now


def _from_manifest(path: Path | None, molecule: str) -> tuple["MoleculeSettings | None", str | None]:
    """Settings of the molecule, and the store, from the manifest if there is one."""
    from asteroid.manifest import load_manifest

    if path is None:
        return None, None
    loaded = load_manifest(path)
    by_name = {each.name: each for each in loaded.molecules}
    if molecule not in by_name:
        raise InputError(f"--molecule: {path} has no '{molecule}'; {suggest(molecule, by_name)}")
    return by_name[molecule], loaded.store


def _level(option: str, text: str | None, default: "LevelOfTheory | None") -> "LevelOfTheory":
    if text is not None:
        return parse_level(option, text)
    if default is None:
        raise InputError(f"{option}: missing; write a level of theory, such as gfn2-xtb, or give a --manifest")
    return default


def _listed(option: str, text: str, kind: Callable[[str], T]) -> tuple[T, ...]:
    try:
        return tuple(kind(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"{option}: found '{text}'; write whole numbers, separated by commas") from None


def _check_files(*paths: Path) -> None:
    """Check before hours of training that both files can be written."""
    if len({path.absolute() for path in paths}) < len(paths):
        raise InputError(f"--out: the page is written to '{paths[0]}' too; write a .json file, or another --html")
    for path in paths:
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise InputError(f"--out: '{path}' cannot be written; write a file in an existing folder")


def _write(store: "Store", settings: "ComparisonSettings", data: dict[str, Any], out_file: Path, page: Path) -> None:
    """Write JSON and page to their files and to the store, and update its index.

    The JSON is an export for users, without a record class; only the index reads it again
    (:class:`asteroid.report.index.Compared`).
    """
    from asteroid.naming import digest
    from asteroid.report.comparison import render_comparison
    from asteroid.report.index import write_index

    folder = f"{paths.reports(settings.molecule)}/comparison-{digest(data['results'])}"
    # The numbers first, so that they are kept if the page fails.
    store.write_json(f"{folder}/comparison.json", data)
    _write_file(out_file, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode(), folder)
    rendered = render_comparison(data).encode()
    store.write(f"{folder}/comparison.html", rendered)
    write_index(store)
    _write_file(page, rendered, folder)


def _write_file(path: Path, content: bytes, folder: str) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise AsteroidError(f"cannot write {path}: {error.strerror}; the store has it in {folder}") from None


def _print(data: dict[str, Any]) -> None:
    quantity = data["quantity"]
    unit = "meV/Å" if quantity == "force_mae" else "meV"
    settings = data["settings"]
    error = f"{quantity.partition('_')[0]} MAE {unit}"
    figures = ("labels", error, "over scratch", "over unweighted", "labels of scratch", "core-h")
    table = make_table(f"{settings['molecule']}: {settings['cheap']} for {settings['accurate']}", ("variant",), figures)
    for row in data["summary"]:
        found, core_hours = row[quantity], row["core_hours"]
        table.add_row(
            row["arm"],
            str(row["n_accurate"]),
            "none" if found is None else _with_error(found),
            *(_ratio(row[f"ratio_to_{name}"]) for name in ("scratch", "unweighted")),
            _worth(row["scratch_labels"]) if row["arm"] != "scratch" else "",
            "" if core_hours is None else f"{core_hours:.3g}",
        )
    out.print(table)
    for conclusion in data["sentences"]:
        out.print(f"• {conclusion['sentence']}", markup=False)
    for note in (data["basis"], *settings["notes"]):
        if note:
            out.print(note, markup=False)


def _with_error(error: dict[str, float | None]) -> str:
    """Mean and standard error in milli-units.

    >>> _with_error({"mean": 0.00821, "standard_error": 0.0003})
    '8.21 ± 0.30'
    """
    mean = 1000 * (error["mean"] or 0.0)
    digits = 2 if mean < 100 else 0
    spread = error["standard_error"]
    return f"{mean:.{digits}f}" + ("" if spread is None else f" ± {1000 * spread:.{digits}f}")


def _ratio(ratio: dict[str, float] | None) -> str:
    """With a star if the 95 % interval excludes 1."""
    if ratio is None:
        return ""
    return f"{ratio['value']:.2f}" + ("" if ratio["low"] <= 1 <= ratio["high"] else "*")


def _worth(worth: dict[str, Any] | None) -> str:
    if worth is None:
        return ""
    return {"exact": "", "at least": "≥ ", "at most": "≤ "}[worth["bound"]] + f"{worth['labels']:.0f}"
