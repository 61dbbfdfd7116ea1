"""Markdown pages for the UI: certificate of a molecule, and its rounds."""

import base64
from collections import Counter
from collections.abc import Sequence
from typing import Any

from asteroid.manifest import MoleculeSettings
from asteroid.quantities import format_number, format_quantity
from asteroid.report.answers import PICTURES, QUESTIONS, Answer, Answers
from asteroid.store import Store, records
from asteroid.store.round_records import ErrorInterval, RoundRecord


def certificate_markdown(
    store: Store, molecule: MoleculeSettings, outcome: dict[str, Any], *, report_url: str | None = None
) -> str:
    """Result, three answers with plots, errors compared with the scratch model, and the lines of the certificate.

    Args:
        outcome: of :func:`asteroid.stages.outcome`.
        report_url: of the report, where browsers find it.
    """
    verdict = "certified" if outcome["passed"] else f"NOT certified ({outcome['state']})"
    rows = [
        ("force MAE", outcome["force_mae"], outcome["scratch_force_mae"], "eV/Å"),
        ("energy MAE", outcome["energy_mae"], outcome["scratch_energy_mae"], "eV/atom"),
    ]
    lines = [
        f"| {line['name']} | {_quantity(line['value'], line['unit'])} | {_quantity(line['bound'], line['unit'])} "
        f"| {line['comparison']} {_quantity(line['threshold'], line['unit'])} | {_result(line)} |"
        for line in outcome["lines"]
    ]
    return "\n".join(
        [
            f"# {molecule.name}: {verdict}",
            "",
            *([f"[Open the report]({report_url})", ""] if report_url else []),
            *_answers(store, outcome["report_path"].rpartition("/")[0]),
            "| on held-out frames | this model | accurate labels alone |",
            "|---|---:|---:|",
            *(
                f"| {name} | {_quantity(ours, unit)} | {_quantity(scratch, unit)} |"
                for name, ours, scratch, unit in rows
            ),
            "",
            "| requirement | value | bound | threshold | |",
            "|---|---:|---:|---|---|",
            *lines,
            "",
            f"Model: `{outcome['model']}`",
            "",
            f"Report: `{outcome['report']}`",
        ]
    )


def _answers(store: Store, folder: str) -> list[str]:
    """Accuracy, cost and benefit, as in the report."""
    answers = records.read(store, Answers, f"{folder}/answers.json")
    lines = []
    for name, question in QUESTIONS.items():
        answer: Answer = getattr(answers, name)
        lines += [f"## {question}", ""]
        if answer.figure:
            lines += [f"**{answer.figure}** {answer.about}", ""]
        lines += [" ".join(answer.sentences), ""]
        path = f"{folder}/{PICTURES[name]}"
        if store.exists(path):
            picture = base64.b64encode(store.read(path)).decode()
            lines += [f"![{question}](data:image/png;base64,{picture})", ""]
    return lines


LONGEST_TABLE = 500
"""Rows of the page of all molecules; of more, it has the sums of each level."""


def campaign_markdown(
    rows: Sequence[dict[str, Any]], under_way: Sequence[str], *, price: tuple[float, float | None]
) -> str:
    """Labels to do, done and failed by molecule and level, their cost, and the work under way on all machines.

    Args:
        rows: of :meth:`asteroid.store.Store.status`, each with ``reasons`` of failures and their numbers.
        under_way: of :func:`asteroid.store.locks.held_locks`.
        price: of :func:`asteroid.stages.kept_quotes.price_of_labels`.
    """
    why = _failures(rows)
    if len(rows) > LONGEST_TABLE:
        rows = _by_level(rows)
    counted = [f"{name} × {count}" if count > 1 else name for name, count in Counter(under_way).items()]
    return "\n".join(
        [
            f"{_price(price)}.",
            "",
            f"Under way: {', '.join(counted) or 'nothing'}.",
            "",
            *_labels(rows, named=True),
            *why,
        ]
    )


def molecule_markdown(rows: Sequence[dict[str, Any]], price: tuple[float, float | None], working: Sequence[str]) -> str:
    """One molecule: what is at work, the price of its labels, and their number at each level.

    Args:
        rows: of :meth:`asteroid.store.Store.status`, each with ``reasons`` of failures and their numbers.
        price: of :func:`asteroid.stages.kept_quotes.price_of_labels`.
        working: steps that are ready or at work, a line each.
    """
    lines = [f"Under way: {'; '.join(working)}.", ""] if working else []
    return "\n".join([*lines, f"{_price(price)}.", "", *_labels(rows, named=False), *_failures(rows)])


def _price(price: tuple[float, float | None]) -> str:
    hours, quoted = price
    return f"{format_number(hours)} core-hours for labels" + (
        "" if quoted is None else f", quoted at most {format_number(quoted)}"
    )


def _labels(rows: Sequence[dict[str, Any]], *, named: bool) -> list[str]:
    """Table of labels by level, with ``named`` also by molecule."""
    lines = [
        f"| {row['level']} | {row['to_do']} | {row['per_minute']:.3g} | {row['ok']} "
        f"| {row['failed'] + row['rejected']} | {format_number(row['core_hours'])} |"
        for row in rows
    ]
    head = [
        "| level | labels to do | a minute | done | failed or rejected | core-hours |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    if not named:
        return [*head, *lines]
    named_lines = [f"| {row['molecule']} {line}" for row, line in zip(rows, lines, strict=True)]
    return [f"| molecule {head[0]}", f"|---{head[1]}", *named_lines]


LONGEST_LIST = 30
"""Reasons of failures on a page."""


def _failures(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Why labels failed or were rejected, a line for each molecule, level and reason; nothing without failures."""
    lines = [
        f"- {count} × {row['molecule']}, {row['level']}: {reason}" for row in rows for reason, count in row["reasons"]
    ]
    more = ["- and others: `asteroid status --reasons`"] if len(lines) > LONGEST_LIST else []
    return ["", "Attempts that failed or were rejected:", "", *lines[:LONGEST_LIST], *more] if lines else []


def _by_level(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sums over the molecules at each level."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["level"], []).append(row)
    summed = ("to_do", "per_minute", "ok", "failed", "rejected", "core_hours")
    return [
        {
            "molecule": f"{len(same)} molecules",
            "level": level,
            **{name: sum(row[name] for row in same) for name in summed},
        }
        for level, same in found.items()
    ]


def _result(line: dict[str, Any]) -> str:
    state = str(line["state"])
    return state if state in ("passed", "not checked") else f"**{state}**"


def _quantity(value: float | None, unit: str) -> str:
    return "not measured" if value is None else format_quantity(value, unit)


def rounds_markdown(name: str, rounds: Sequence[RoundRecord], stop: str | None = None) -> str:
    """Table of the rounds so far: picked frames, cost, errors before and after, and decisions.

    Args:
        rounds: records of :mod:`asteroid.stages.round_files`.
        stop: reason for the end of the loop; None while it runs.
    """
    lines = [
        f"# {name}: {len(rounds)} rounds of accurate labels",
        "",
        "Force errors in meV/Å, with their 95 % intervals: of the previous model on the new labels of a round, and "
        "of the round's own model on held-out frames.",
        "",
        "| round | labels | picked | before, on fresh labels | after, on held-out frames | core-hours | decision |",
        "|---:|---:|---|---:|---:|---:|---|",
    ]
    for found in rounds:
        sources = Counter(frame.source for frame in found.picked)
        picked = ", ".join(f"{count} from {source}" for source, count in sources.most_common())
        if found.bought is not None and found.bought.kind == "energies":
            picked += "; energies alone"
        if found.because:
            picked += f" (the previous certificate failed in: {', '.join(found.because)})"
        lines.append(
            f"| {found.round} | {found.accurate_labels} | {found.criterion}: {picked} "
            f"| {_interval(found.fresh_error)} | {_interval(found.held_out)} | {found.core_seconds.total / 3600:.3g} "
            f"| {found.decision.reason} |"
        )
    if stop:
        lines += ["", f"Ended: {stop}."]
    return "\n".join(lines)


def _interval(error: ErrorInterval | None) -> str:
    """A force MAE with its 95 % interval, in meV/Å."""
    if error is None:
        return "–"
    numbers = (error.force_mae, error.low, error.high)
    value, low, high = ("∞" if number is None else f"{1000 * number:.3g}" for number in numbers)
    return f"{value} ({low} to {high})"
