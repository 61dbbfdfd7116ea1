"""Check built pages: nothing on them comes from another host, and every link within the site has its page and anchor.

python docs/check_site.py docs/_build/html
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {
    ("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src"), ("audio", "src"),
    ("link", "href"), ("object", "data"),
}  # fmt: skip
"""Attributes that a browser follows by itself."""


class Page(HTMLParser):
    """Anchors and links of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors, self.links, self.loaded = {""}, set(), set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id" and value:
                self.anchors.add(value)
            if (tag, name) in LOADED and value:
                self.loaded.add(value)
            elif (tag, name) == ("a", "href") and value:
                self.links.add(value)


def problems(root: Path) -> list[str]:
    """One line for each request to another host and each broken link."""
    pages = {path: Page(path.read_text()) for path in root.rglob("*.html")}
    found = []
    for path, page in pages.items():
        here = path.relative_to(root)
        found += [f"{here}: loads {url}" for url in sorted(page.loaded) if urlsplit(url).netloc]
        for link in sorted(page.links | page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                found.append(f"{here}: {link} is not there")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{here}: {link} has no such anchor")
    for style in root.rglob("*.css"):
        if any(mark in style.read_text() for mark in ("url(http", 'url("http', "url(//", "@import")):
            found.append(f"{style.relative_to(root)}: loads from another host")
    return found if pages else [f"{root}: no pages"]


if __name__ == "__main__":
    wrong = problems(Path(sys.argv[1]).resolve())
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(bool(wrong))
