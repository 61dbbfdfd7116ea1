"""Writing reports in tests, and reading their pages."""

from html.parser import HTMLParser
from pathlib import Path

from asteroid.report.write import write_report
from asteroid.store import Store, records
from asteroid.validation.certificate import Certificate
from tests.validation.certificates import make_card, make_certificate, make_scratch_card


class Page(HTMLParser):
    """Tags with their attributes, headings and the text a person sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.seen = True
        self.text = ""
        self.feed(text)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.seen = tag not in ("script", "style")

    def handle_data(self, data):
        if self.seen:
            self.text += data + " "


FOLDER = "reports/water/0123456789abcdef-cafe"


def write_certificate(store: Store, certificate: Certificate) -> Certificate:
    """As it is stored and read again, without infinities."""
    records.write(store, f"{FOLDER}/certificate.json", certificate, nulls=True)
    return records.read(store, Certificate, f"{FOLDER}/certificate.json")


def write(store: Store, certificate=None, card=None, scratch="same") -> str:
    card = card or make_card()
    content = write_certificate(store, certificate or make_certificate())
    scratch_card = make_scratch_card() if scratch == "same" else scratch
    return Path(write_report(store, "water", content, card, scratch_card, folder=FOLDER)).read_text()
