"""The index of all reports of a store, made again from what lies there whenever one is written.

Models with their three answers, and the comparisons of strategies that ``asteroid compare`` left.
"""

from asteroid.quantities import format_number
from asteroid.report.answers import Answer, Answers
from asteroid.report.html import ComparisonRow, IndexRow, render_index, render_model_page
from asteroid.store import Store, paths, records
from asteroid.store.models import Card
from asteroid.validation.certificate import Certificate


def write_index(store: Store) -> str:
    """Write ``reports/index.html`` from every certificate and comparison that has a page; return where it lies.

    Nothing is written where it would stay the same: a finished store may be read-only.
    """
    page = render_index(_rows(store), _comparisons(store)).encode()
    if not (store.exists(paths.REPORT_INDEX) and store.read(paths.REPORT_INDEX) == page):
        store.write(paths.REPORT_INDEX, page)
    return store.location(paths.REPORT_INDEX)


def write_model_page(store: Store, card: Card) -> str:
    """Write the page of a model of several molecules, with those that it is judged on; return where it lies.

    It is made again with each certificate, and lists those that are there.
    """
    rows = [row for row in _rows(store) if row.model_id.startswith(card.model_id)]
    trained = [row for row in rows if row.molecule in card.molecules]
    page = render_model_page(card, trained, [row for row in rows if row not in trained]).encode()
    path = f"{paths.reports(card.molecule)}/{card.model_id}.html"
    if not (store.exists(path) and store.read(path) == page):
        store.write(path, page)
    return store.location(path)


def _rows(store: Store) -> list[IndexRow]:
    """Molecules in alphabetical order, the newest model of each first; a certificate without its page is left out."""
    rows = []
    for molecule in store.molecules():
        for model_id in store.names(paths.reports(molecule)):
            folder = f"{paths.reports(molecule)}/{model_id}"
            if not (store.exists(f"{folder}/certificate.json") and store.exists(f"{folder}/report.html")):
                continue
            certificate = records.read(store, Certificate, f"{folder}/certificate.json")
            path = f"{folder}/answers.json"
            answers = records.read(store, Answers, path) if store.exists(path) else _without_answers(certificate)
            rows.append(
                IndexRow(
                    molecule=molecule,
                    model_id=model_id,
                    model="" if certificate.model == molecule else certificate.model,
                    unseen=certificate.unseen,
                    strategy=certificate.strategy,
                    accurate=certificate.levels.accurate,
                    created=certificate.created,
                    state=certificate.state,
                    answers=answers,
                    report=f"{molecule}/{model_id}/report.html",
                )
            )
    newest_first = sorted(rows, key=lambda row: row.created, reverse=True)
    return sorted(newest_first, key=lambda row: row.molecule)


def _without_answers(certificate: Certificate) -> Answers:
    """What the certificate of a report says that was written before answers were kept."""
    force, energy = certificate.errors.force_mae, certificate.errors.energy_mae
    good = f"{format_number(force.value)} eV/Å" if force else f"{format_number(1000 * energy.value)} meV/atom"
    ratio = certificate.improvement
    return Answers(Answer(good), Answer(), Answer(f"{format_number(ratio.value)} ×" if ratio else ""))


def _comparisons(store: Store) -> list[ComparisonRow]:
    """By molecule, in the order of their names; one without its page is left out."""
    rows = []
    for molecule in store.molecules():
        for name in store.names(paths.reports(molecule)):
            folder = f"{paths.reports(molecule)}/{name}"
            if store.exists(f"{folder}/comparison.json") and store.exists(f"{folder}/comparison.html"):
                data = store.read_json(f"{folder}/comparison.json")
                results = data["results"]
                rows.append(
                    ComparisonRow(
                        molecule=molecule,
                        levels=f"{results[0]['cheap']} for {results[0]['accurate']}",
                        arms=", ".join(dict.fromkeys(row["arm"] for row in results)),
                        labels=", ".join(map(str, sorted({row["n_accurate"] for row in results}))),
                        seeds=len({row["seed"] for row in results}),
                        page=f"{molecule}/{name}/comparison.html",
                    )
                )
    return rows
