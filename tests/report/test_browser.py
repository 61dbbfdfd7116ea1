"""The pages in a browser: they run under their own policy, open structures, fit on a phone and on paper, and are
accessible. Chromium draws them; axe-core, from the package axe-core-python, judges them.
"""

import html
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from asteroid.report.index import write_index
from asteroid.report.write import write_report
from asteroid.simulation.trajectories import StoredTrajectories
from asteroid.store import Store, records
from asteroid.store.records import FoundMinimum
from tests.report.conftest import fill
from tests.report.test_certificate_plots import full_certificate
from tests.report.test_structures import turning
from tests.validation.certificates import WATER, make_card, make_certificate, make_scratch_card

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = importlib.util.find_spec("axe_core_python")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to show the pages; install Debian's chromium"),
]
needs_axe = pytest.mark.skipif(AXE is None, reason="no axe-core; pip install axe-core-python")

MOST_PAGES = 6
MODEL = "models/water/0123456789abcdef"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an index with two models of water, and of the report of one, with everything that a report may have."""
    store = fill(Store(tmp_path_factory.mktemp("pages") / "store"))
    records.write(store, f"{MODEL}/minimum.json", FoundMinimum(WATER.positions, None, True))
    StoredTrajectories(store, f"{MODEL}/md-1", WATER.numbers.tolist()).save("nvt", [turning()])
    for folder, certificate in (("one", full_certificate()), ("two", make_certificate())):
        records.write(store, f"reports/water/{folder}/certificate.json", certificate, nulls=True)
        write_report(
            store,
            "water",
            certificate,
            make_card(),
            make_scratch_card(),
            folder=f"reports/water/{folder}",
            trajectories=f"{MODEL}/md-1",
        )
    write_index(store)
    return Path(store.location("reports"))


def chromium(page: Path, *options: str) -> str:
    """Open a page, and return what Chromium writes: with ``--dump-dom``, the page after its scripts."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", *options]
    # A folder of its own for the profile, so that browsers side by side do not meet.
    command += [f"--user-data-dir={page.parent / 'profile'}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def without_policy(page: Path) -> str:
    return re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())


def run(page: Path, script: str, *options: str) -> dict:
    """What a script of a test finds on a page, whose policy would forbid it and is left out."""
    write = "const out = document.createElement('pre'); out.id = 'found'; out.textContent = JSON.stringify(found);"
    end = f"<script>(async () => {{ {script}; {write} document.body.append(out); }})()</script></body>"
    text = without_policy(page).replace("</body>", end)
    copy = page.with_name("copy.html")
    copy.write_text(text)
    dom = chromium(copy, "--dump-dom", *options)
    found = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert found, "the script of the test ended"
    return json.loads(html.unescape(found[1]))


def test_the_scripts_of_a_report_run_under_its_policy(reports: Path) -> None:
    dom = chromium(reports / "water/one/report.html", "--dump-dom")
    assert 'id="stage" class="stage scripted"' in dom
    # What is shown first, with or without WebGL.
    assert "Minimum: minimum of the model." in dom


def test_a_point_opens_its_frame(reports: Path) -> None:
    script = """
        const plots = [...document.querySelectorAll('svg.parity')], point = plots[1].querySelector('[data-show]');
        point.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}));
        const found = {key: point.dataset.show, words: document.getElementById('shown').textContent,
                       role: point.getAttribute('role'), pressed: point.getAttribute('aria-pressed'),
                       stops: plots.map((plot) => plot.querySelectorAll('[tabindex="0"]').length)}
    """
    found = run(reports / "water/one/report.html", script)
    assert found["key"].startswith("test-")
    assert found["words"].startswith("Held-out frame (normal modes): force error up to")
    assert (found["role"], found["pressed"]) == ("button", "true")
    assert set(found["stops"]) == {1}, "each plot is one stop of the Tab key"


def test_the_index_is_sorted_by_a_click_on_a_heading(reports: Path) -> None:
    script = """
        const heading = document.querySelectorAll('table.sortable th')[1], order = () =>
            [...document.querySelectorAll('table.sortable tbody tr')].map((row) => row.cells[1].dataset.value);
        const found = [];
        for (const turn of [1, 2]) {
            heading.querySelector('button').click();
            found.push([heading.getAttribute('aria-sort'), ...order()]);
        }
    """
    found = run(reports / "index.html", script)
    assert found == [["ascending", "failed", "passed"], ["descending", "passed", "failed"]]


@needs_axe
@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
@pytest.mark.parametrize("page", ["index.html", "water/one/report.html"])
def test_axe_finds_no_serious_fault(reports: Path, page: str, scheme: int) -> None:
    assert AXE is not None
    axe = Path(str(AXE.origin)).with_name("axe.min.js").read_text()
    script = f"""{axe};
        const result = await axe.run(), found = {{
            dark: matchMedia('(prefers-color-scheme: dark)').matches, passes: result.passes.length,
            faults: result.violations.map((v) => [v.impact, v.id, v.nodes[0].html])}}
    """
    found = run(reports / page, script, f"--blink-settings=preferredColorScheme={scheme}")
    assert found["dark"] is (scheme == 0)
    assert found["passes"] > 20
    assert [fault for fault in found["faults"] if fault[0] in ("serious", "critical")] == []


@pytest.mark.parametrize("page", ["index.html", "water/one/report.html"])
def test_a_page_is_as_wide_as_a_phone(reports: Path, page: str) -> None:
    # A window cannot be as narrow as a phone, a frame can.
    framed = reports / page
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", framed.read_text())
    outer = framed.with_name("phone.html")
    outer.write_text(
        f'<iframe style="width: 390px; height: 800px; border: 0" srcdoc="{html.escape(text)}"></iframe></body>'
    )
    script = """
        const frame = document.querySelector('iframe');
        if (frame.contentDocument.readyState !== 'complete') await new Promise((done) => { frame.onload = done; });
        const root = frame.contentDocument.documentElement, found = [root.clientWidth, root.scrollWidth]
    """
    width, needed = run(outer, script)
    assert width in range(370, 391), "without the scroll bar"
    assert needed == width


def test_a_report_fits_on_six_sheets(reports: Path, tmp_path: Path) -> None:
    pdf = tmp_path / "report.pdf"
    chromium(reports / "water/one/report.html", f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf.read_bytes())) <= MOST_PAGES
