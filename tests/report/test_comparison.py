import json
import re

import pytest

from asteroid.report.comparison import best_variants, render_comparison
from tests.report.comparisons import COUNTS, make_comparison, make_result
from tests.report.conftest import HOSTILE
from tests.report.pages import Page


def page(data) -> Page:
    return Page(render_comparison(json.loads(json.dumps(data, allow_nan=False))))


@pytest.mark.usefixtures("drawn")
def test_a_comparison_loads_nothing_from_anywhere():
    text = render_comparison(make_comparison())
    tags = Page(text).tags
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text), re.IGNORECASE)
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in tags}
    images = [attributes["src"] for tag, attributes in tags if tag == "img"]
    # Curves against labels and cost, ratios to scratch and to unweighted.
    assert len(images) == 4
    assert all(source.startswith("data:image/png;base64,") for source in images)


def test_every_variant_has_its_numbers_and_its_sentence():
    data = make_comparison()
    text = page(data).text
    for found in data["sentences"]:
        assert found["sentence"].removeprefix(found["arm"]).removeprefix(":").strip() in text
    mean = data["summary"][0]["force_mae"]["mean"]
    assert f"{1000 * mean:#.3g}".rstrip(".") in text


def test_the_best_variant_is_marked_where_the_seeds_agree_and_never_the_one_that_needs_the_cheap_method():
    assert best_variants(make_comparison()["results"], "force_mae") == dict.fromkeys(COUNTS, "corrected")
    assert page(make_comparison()).text.count(" best ") == len(COUNTS)


@pytest.mark.parametrize("options", [{"noise": 0.5}, {"seeds": (0,)}], ids=["noisy seeds", "one seed"])
def test_no_variant_is_the_best_where_the_seeds_cannot_show_it(options):
    data = make_comparison({"scratch": 1.0, "unweighted": 0.98, "weighted": 0.97}, **options)
    assert best_variants(data["results"], "force_mae") == {}
    assert " best " not in page(data).text


def test_the_model_that_needs_the_cheap_method_is_marked():
    assert "needs gfn2-xtb at run time" in page(make_comparison()).text
    assert "run time" not in page(make_comparison({"scratch": 2.0, "unweighted": 1.0})).text


def test_one_seed_is_said_to_be_one():
    text = page(make_comparison(seeds=(0,))).text
    assert "One seed: the spread between draws of labels is unknown." in text
    assert "±" not in text


def test_what_failed_is_shown_with_its_reason_escaped():
    failures = tuple(make_result("score-matching", n, 0, reason=HOSTILE) for n in COUNTS)
    data = make_comparison(more=failures)
    html = render_comparison(data)
    assert "<script" not in html
    assert Page(html).text.count(HOSTILE) >= len(COUNTS)
    assert "1 of 1 failed" in Page(html).text


def test_a_comparison_in_which_all_failed_still_has_a_page():
    failures = tuple(make_result("score-matching", n, 0, reason="no temperature") for n in COUNTS)
    text = page(make_comparison({}, more=failures)).text
    assert "no temperature" in text
    assert "Learning curves" not in text


def test_energies_are_compared_where_no_test_label_has_forces():
    results = tuple(
        make_result(variant, n, seed, energy_mae=error / n, energy_rmse=error / n, model_id="m")
        for variant, error in (("scratch", 2.0), ("unweighted", 1.0))
        for n in COUNTS
        for seed in (0, 1)
    )
    text = page(make_comparison({}, more=results)).text
    assert "Energy error by strategy" in text
    assert "Force error" not in text


def test_a_comparison_without_scratch_has_no_ratio_to_it():
    text = page(make_comparison({"unweighted": 1.0, "weighted": 0.9})).text
    assert "error / that of unweighted" in text
    assert "error / that of scratch" not in text


def test_warnings_about_the_weights_are_on_the_page():
    diagnostics = {
        **{"molecule": "formaldehyde", "model_id": "m", "cheap": "gfn2-xtb", "accurate": "ccsd(t)/cc-pvdz"},
        **{"accurate_labels": 25, "disagreement": None, "teacher": None, "estimate": None},
        "weights": {
            **{"gamma": 0.1, "candidates": [], "by_atom": False, "frames": 100},
            **{"effective_sample_size": 2.0, "variation": 7.0},
            "histogram": {"edges": [0.0, 1.0, 2.0], "counts": [98, 2]},
        },
        "warnings": [f"The weights collapse. {HOSTILE}"],
    }
    text = page(make_comparison(diagnostics={"25": diagnostics})).text
    assert "Bias and weights with 25 accurate labels" in text
    assert f"Warning. The weights collapse. {HOSTILE}" in text


@pytest.mark.usefixtures("drawn")
def test_the_same_comparison_makes_the_same_page():
    assert render_comparison(make_comparison()) == render_comparison(make_comparison())
