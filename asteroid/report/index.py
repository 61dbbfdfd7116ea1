"""The index of all reports and comparisons of a store, and pages of models of several molecules.

Rewritten from the stored certificates and comparisons whenever a report is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from asteroid.quantities import format_number, format_quantity
from asteroid.report.answers import Answer, Answers
from asteroid.report.html import ComparisonRow, IndexRow, render_index, render_model_page
from asteroid.report.next_step import NextStep
from asteroid.report.words import count, main_error
from asteroid.store import Store, paths, records
from asteroid.store.models import Card
from asteroid.validation.certificate import Certificate


@dataclass(frozen=True)
class ComparedRow:
    """What the index shows of one result of a comparison."""

    cheap: str
    accurate: str
    arm: str
    n_accurate: int
    seed: int


@dataclass(frozen=True)
class Compared:
    """What the index shows of ``comparison.json``, which ``asteroid compare`` writes for users."""

    results: Annotated[tuple[ComparedRow, ...], Field(min_length=1)]


def write_index(store: Store) -> str:
    """Write ``reports/index.html`` with all certificates and comparisons that have a page; return its location."""
    return _write_changed(store, paths.REPORT_INDEX, render_index(_rows(store), _comparisons(store)))


def write_model_page(store: Store, card: Card) -> str:
    """Write the page of a model of several molecules, with all its certificates so far; return its location."""
    rows = [row for row in _rows(store) if row.model_id == card.model_id]
    trained = [row for row in rows if row.molecule in card.molecules]
    page = render_model_page(card, trained, [row for row in rows if row not in trained])
    return _write_changed(store, f"{paths.reports(card.molecule)}/{card.model_id}.html", page)


def _write_changed(store: Store, path: str, page: str) -> str:
    """Write a page unless it is unchanged, because a finished store may be read-only; return its location."""
    if not (store.exists(path) and store.read(path) == page.encode()):
        store.write(path, page.encode())
    return store.location(path)


def _rows(store: Store) -> list[IndexRow]:
    """Molecules in alphabetical order, the newest model of each first; without certificates that have no page.

    Molecules without a page come with what waits for them.
    """
    to_do: dict[str, list[str]] = {name: [] for name in store.molecules()}
    for found in store.status():
        if found["to_do"]:
            to_do[found["molecule"]].append(f"{count(found['to_do'], 'label')} at {found['level']}")
    rows = []
    for molecule, folder_name, folder in _folders(store, "certificate.json", "report.html"):
        certificate = records.read(store, Certificate, f"{folder}/certificate.json")
        path = f"{folder}/answers.json"
        answers = records.read(store, Answers, path) if store.exists(path) else _without_answers(certificate)
        rows.append(
            IndexRow(
                molecule=molecule,
                model_id=certificate.model_id,
                model="" if certificate.model == molecule else certificate.model,
                unseen=certificate.unseen,
                strategy=certificate.strategy,
                accurate=certificate.levels.accurate,
                created=certificate.created,
                state=certificate.state,
                force_mae=certificate.errors.force_mae,
                energy_mae=certificate.errors.energy_mae,
                gain=certificate.improvement.value if certificate.improvement else None,
                core_hours=_core_hours(answers),
                lines=certificate.lines,
                waits=_advice(store, folder),
                answers=answers,
                report=f"{molecule}/{folder_name}/report.html",
            )
        )
    newest_first = sorted(rows, key=lambda row: row.created, reverse=True)
    newest = {row.molecule: row for row in reversed(newest_first)}
    # What an older model waited for is settled.
    rows = [
        replace(row, waits="; ".join(filter(None, [row.waits, *to_do[row.molecule]])) if row in newest.values() else "")
        for row in newest_first
    ]
    rows += [
        IndexRow(name, "; ".join(labels) or "a model")
        for name, labels in to_do.items()
        if name not in newest and (labels or store.levels(name))
    ]
    return sorted(rows, key=lambda row: row.molecule)


def _advice(store: Store, folder: str) -> str:
    """What would bring a model nearer to its certificate, in short; empty for a certified one."""
    path = f"{folder}/next-step.json"
    sentence = records.read(store, NextStep, path).sentence if store.exists(path) else ""
    return sentence.removeprefix("Next: ").partition(", because it fails ")[0]


def _core_hours(answers: Answers) -> float | None:
    """Cost of everything, from the words of older answers: ``1,234 core-seconds``."""
    if answers.core_seconds is not None:
        return answers.core_seconds / 3600
    figure, _, unit = answers.cost.figure.partition(" core-")
    return float(figure.replace(",", "")) / (3600 if unit == "seconds" else 1) if unit else None


def _without_answers(certificate: Certificate) -> Answers:
    """Answers for a report of an older version, which stored none."""
    _, unit, error = main_error(certificate.errors)
    gain = f"{format_number(certificate.improvement.value)} ×" if certificate.improvement else ""
    return Answers(Answer(format_quantity(error.value, unit)), Answer(), Answer(gain))


def _comparisons(store: Store) -> list[ComparisonRow]:
    """In order of molecules, without comparisons that have no page."""
    rows = []
    for molecule, name, folder in _folders(store, "comparison.json", "comparison.html"):
        results = records.read(store, Compared, f"{folder}/comparison.json").results
        rows.append(
            ComparisonRow(
                molecule=molecule,
                levels=f"{results[0].cheap} for {results[0].accurate}",
                variants=", ".join(dict.fromkeys(row.arm for row in results)),
                labels=", ".join(map(str, sorted({row.n_accurate for row in results}))),
                seeds=len({row.seed for row in results}),
                page=f"{molecule}/{name}/comparison.html",
            )
        )
    return rows


def _folders(store: Store, *files: str) -> Iterator[tuple[str, str, str]]:
    """Molecule, name and path of each folder of reports with these files."""
    for molecule in store.molecules():
        for name in store.names(paths.reports(molecule)):
            folder = f"{paths.reports(molecule)}/{name}"
            if all(store.exists(f"{folder}/{file}") for file in files):
                yield molecule, name, folder
