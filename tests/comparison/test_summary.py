"""The summary and its sentences, of results made by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from asteroid.comparison.result import Result
from asteroid.comparison.sentences import basis_sentence
from asteroid.comparison.summary import summarise, summary_lines
from asteroid.store import Store, records

NOISE = {0: 1.0, 1: 1.1, 2: 0.95}
"""What a seed does to the error of every variant."""


def result(variant: str, n: int, seed: int, **values: Any) -> Result:
    return Result("water", "gfn1-xtb", "gfn2-xtb", variant, n, seed, **values)


def results(
    variants: Mapping[str, float], counts: tuple[int, ...] = (25, 50, 100), seeds: tuple[int, ...] = (0, 1, 2)
) -> list[Result]:
    """Errors that fall as 1/n, times a factor of the variant, almost the same with each seed."""
    made = []
    for variant, factor in variants.items():
        for n in counts:
            for seed in seeds:
                error = factor * NOISE[seed] * (1 + 0.01 * seed * (variant != "scratch")) / n
                groups = tuple((error * size, 1) for size in (0.9, 1.0, 1.1))
                made.append(
                    result(
                        *(variant, n, seed),
                        **{"force_mae": error, "force_rmse": 2 * error, "energy_mae": error, "energy_rmse": error},
                        **{"label_core_hours": float(n), "training_core_hours": 1.0, "seconds": 60.0},
                        **{"model_id": "0" * 16, "force_groups": groups, "energy_groups": groups},
                    )
                )
    return made


def sentence(data: Mapping[str, Any], variant: str) -> str:
    (found,) = (said["sentence"] for said in data["sentences"] if said["arm"] == variant)
    return str(found)


def test_claims_follow_the_interval() -> None:
    data = summarise(results({"scratch": 1.0, "unweighted": 0.5, "weighted": 0.5, "multihead": 2.0}))
    assert sentence(data, "unweighted").startswith(
        "unweighted: Better than scratch with 25, 50 and 100 labels: its force"
    )
    assert "1.98 (" in sentence(data, "unweighted"), "twice as good, less the per cent of the noise"
    assert "No difference from unweighted that can be shown" in sentence(data, "weighted")
    assert "Worse than scratch with 25, 50 and 100 labels" in sentence(data, "multihead")
    assert "Better" not in sentence(data, "multihead")


def test_a_line_says_how_many_labels_scratch_needs() -> None:
    data = summarise(results({"scratch": 1.0, "weighted": 0.5}, seeds=(0,)))
    rows = {row["n_accurate"]: row for row in data["summary"] if row["arm"] == "weighted"}
    assert rows[25]["scratch_labels"] == {"labels": pytest.approx(50.0), "bound": "exact", "ratio": pytest.approx(2.0)}
    assert rows[100]["scratch_labels"] == {"labels": 100.0, "bound": "at least", "ratio": 1.0}
    assert "scratch needs 50, 100 and at least 100" in sentence(data, "weighted")


def test_a_failed_cell_is_shown_with_its_reason_and_the_others_go_on() -> None:
    failed = [result("score-matching", n, seed, reason="no temperature") for n in (25, 50, 100) for seed in (0, 1, 2)]
    data = summarise([*results({"scratch": 1.0, "unweighted": 0.5}), *failed])
    assert sentence(data, "score-matching") == "score-matching gave no model: no temperature."
    row = next(row for row in data["summary"] if row["arm"] == "score-matching")
    assert (row["force_mae"], row["core_hours"], row["ratio_to_scratch"], row["failed"]) == (None, None, None, 3)
    assert [r["reason"] for r in data["results"] if r["arm"] == "score-matching"] == ["no temperature"] * 9


def test_a_seed_that_failed_leaves_the_comparison_of_the_others() -> None:
    made = results({"scratch": 1.0, "unweighted": 0.5}, counts=(50,))
    made[-1] = result("unweighted", 50, 2, reason="killed")
    data = summarise(made)
    (row,) = (row for row in data["summary"] if row["arm"] == "unweighted")
    assert (row["seeds"], row["failed"], row["ratio_to_scratch"]["seeds"]) == ([0, 1], 1, 2)
    assert sentence(data, "unweighted").endswith("1 of 3 trainings gave no model: killed.")


def test_one_seed_is_said_to_be_one() -> None:
    assert "With one seed" in basis_sentence(summary_lines(results({"scratch": 1.0, "unweighted": 0.5}, seeds=(0,))))
    few = basis_sentence(summary_lines(results({"scratch": 1.0, "unweighted": 0.5})))
    assert "over 3 seeds" in few
    assert "may hide a real difference" in few


def test_energies_decide_where_no_test_frame_has_forces() -> None:
    energies = [
        result(
            *(variant, 50, seed),
            **{"energy_mae": error * NOISE[seed], "energy_rmse": error},
            energy_groups=((error, 1), (error, 1)),
        )
        for variant, error in (("scratch", 1.0), ("unweighted", 0.25))
        for seed in NOISE
    ]
    data = summarise(energies)
    assert data["quantity"] == "energy_mae"
    (row,) = (row for row in data["summary"] if row["arm"] == "unweighted")
    assert row["force_mae"] is None
    assert row["ratio_to_scratch"]["value"] == pytest.approx(0.25)
    assert "its energy error is 4.00" in sentence(data, "unweighted")


def test_a_result_survives_the_store(tmp_path: Path) -> None:
    store, made = Store(tmp_path), results({"scratch": 1.0})[0]
    records.write(store, "one.json", made)
    assert records.read(store, Result, "one.json") == made
    # Its key in stores of all versions.
    assert store.read_json("one.json")["arm"] == "scratch"
