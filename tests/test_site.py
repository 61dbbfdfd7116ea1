"""The check of built pages finds what a reader would miss. ``make docs`` builds the site and runs it."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def problems(root: Path) -> list[str]:
    spec = importlib.util.spec_from_file_location("check_site", ROOT / "docs/check_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: list[str] = module.problems(root)
    return found


def test_whole_pages_have_no_problem(tmp_path: Path) -> None:
    (tmp_path / "style.css").write_text("body { color: black }")
    (tmp_path / "a.html").write_text('<link rel="stylesheet" href="style.css"><a href="b.html#here">b</a>')
    (tmp_path / "b.html").write_text('<h1 id="here">b</h1><a href="https://doi.org/10.1063/1.473863">paper</a>')
    assert problems(tmp_path) == []


def test_requests_to_other_hosts_and_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "style.css").write_text('@import "https://fonts.example/all.css";')
    (tmp_path / "a.html").write_text(
        '<script src="https://cdn.example/math.js"></script><img src="gone.png">'
        '<a href="#gone">x</a><a href="c.html">c</a>'
    )
    assert problems(tmp_path) == [
        "a.html: loads https://cdn.example/math.js",
        "a.html: #gone has no such anchor",
        "a.html: c.html is not there",
        "a.html: gone.png is not there",
        "style.css: loads from another host",
    ]


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path) == [f"{tmp_path}: no pages"]
