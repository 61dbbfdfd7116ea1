"""The index of all reports of a store, made again from the certificates whenever one is written."""

from asteroid.report.html import IndexRow, render_index
from asteroid.store import Store

INDEX = "reports/index.html"


def write_index(store: Store) -> str:
    """Write ``reports/index.html`` from every certificate that has a report; return where it lies."""
    store.write(INDEX, render_index(_rows(store)).encode())
    return store.location(INDEX)


def _rows(store: Store) -> list[IndexRow]:
    """Molecules in alphabetical order, the newest model of each first; a certificate without its page is left out."""
    rows = []
    for molecule in store.molecules():
        for model_id in store.names(f"reports/{molecule}"):
            folder = f"reports/{molecule}/{model_id}"
            if not (store.exists(f"{folder}/certificate.json") and store.exists(f"{folder}/report.html")):
                continue
            certificate = store.read_json(f"{folder}/certificate.json")
            force_mae = certificate["errors"]["force_mae"]
            rows.append(
                IndexRow(
                    molecule=molecule,
                    model_id=model_id,
                    strategy=certificate["strategy"],
                    accurate=certificate["levels"]["accurate"],
                    created=certificate["created"],
                    passed=certificate["passed"],
                    force_mae=force_mae and force_mae["value"],
                    energy_mae=certificate["errors"]["energy_mae"]["value"],
                    improvement=certificate["improvement"] and certificate["improvement"]["value"],
                    report=f"{molecule}/{model_id}/report.html",
                )
            )
    newest_first = sorted(rows, key=lambda row: row.created, reverse=True)
    return sorted(newest_first, key=lambda row: row.molecule)
