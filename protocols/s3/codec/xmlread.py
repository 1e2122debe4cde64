"""Reading the small XML documents of requests: bounded, and with document types forbidden."""

from __future__ import annotations

import re
from xml.parsers import expat

from protocols.s3.codec.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_DEPTH = 16
MAX_ELEMENTS = 20_000
#: Expat makes all attributes of a tag before it asks anybody. No tag with the text behind it is so long in any document
#: of S3: a key of 1,024 bytes, each of them escaped, is half of it.
_LONG_TAG = re.compile(rb"<[^<]{16384}")


class Element:
    """One element; attributes are dropped."""

    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        """Be empty."""
        self.name = name
        self.text = ""
        self.children: list[Element] = []

    def value(self, name: str) -> str | None:
        """Return the text of the only child *name*, or None; raise MalformedXML if there are more."""
        found = [child for child in self.children if child.name == name]
        if len(found) > 1:
            raise S3Error("MalformedXML")
        return found[0].text if found else None


class _Reader:
    """Builds the tree and refuses what no S3 document holds."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.root: Element | None = None
        self._open: list[tuple[Element, list[str]]] = []
        self._count = 0
        parser = self.parser = expat.ParserCreate("utf-8", "}")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.ProcessingInstructionHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def _refuse(self, *_declaration: object) -> None:
        raise S3Error("MalformedXML")

    def _start(self, name: str, _attributes: object) -> None:
        self._count += 1
        space, _, local = name.rpartition("}")
        if len(self._open) == MAX_DEPTH or self._count > self._most or space not in ("", NAMESPACE):
            raise S3Error("MalformedXML")
        element = Element(local)
        if self._open:
            self._open[-1][0].children.append(element)
        else:
            self.root = element
        self._open.append((element, []))

    def _end(self, _name: str) -> None:
        element, pieces = self._open.pop()
        element.text = "".join(pieces)

    def _text(self, text: str) -> None:
        # Joined at the end: text between many children would else be copied once for each.
        self._open[-1][1].append(text)


def read_xml(document: bytes, root: str, most: int = MAX_ELEMENTS) -> Element:
    """Parse *document*, whose outermost element must be *root*, of *most* elements; raise S3Error MalformedXML.

    The caller has bounded its size.
    """
    if _LONG_TAG.search(document):
        raise S3Error("MalformedXML")
    reader = _Reader(most)
    try:
        # Decoded here: expat would follow a byte order mark into UTF-16, whatever it was told.
        reader.parser.Parse(document.decode(), True)
    except (expat.ExpatError, ValueError):
        raise S3Error("MalformedXML") from None
    if reader.root is None or reader.root.name != root:
        raise S3Error("MalformedXML")
    return reader.root
