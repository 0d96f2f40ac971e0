"""Reads a page as a browser would: its elements in order, each with attributes and text."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "link", "input", "path", "rect", "circle", "line"}


@dataclass(eq=False)
class Element:
    """An element with what it holds. ``text`` is all text in it, on one line."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    def all(self, *tags: str) -> list[Element]:
        """The elements of these tags below this one, all where none is given, in the order of the page."""
        found = []
        for child in self.children:
            found += [child] if not tags or child.tag in tags else []
            found += child.all(*tags)
        return found

    def one(self, tag: str) -> Element:
        """The first element of a tag."""
        return self.all(tag)[0]

    def rows(self) -> list[list[str]]:
        """The rows of the first table below this element, without its header, each a list of texts."""
        table = self.one("table")
        header = table.one("thead").all("tr")
        return [[cell.text for cell in row.children] for row in table.all("tr") if row not in header]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> says an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element.pieces.append(data)


def parse(text: str) -> Element:
    """The page. An element that is not ended, or ended by another's end, fails."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == [reader.root], f"not ended: {[element.tag for element in reader.open[1:]]}"
    return reader.root


def by_id(page: Element) -> dict[str, Element]:
    """Every element that has an id. Two with the same fail."""
    named = [element for element in page.all() if "id" in element.attributes]
    found = {element.attributes["id"]: element for element in named}
    assert len(found) == len(named), "an id stands twice"
    return found
