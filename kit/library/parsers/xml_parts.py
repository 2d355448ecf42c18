"""XML parts of a zip: read whole, without following anything they name.

Knows no format. Invariant: no entity is resolved, no file or address is opened.
"""

from __future__ import annotations

import zipfile
from typing import Any

from kit.errors import DocumentRefused

MAX_PART_BYTES = 256 << 20


def read_xml(data: bytes) -> Any:
    """The root element. Raises: lxml's XMLSyntaxError on damage.

    Threat: entities that grow without bound, or name files and addresses.
    """
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    return etree.fromstring(data, parser)


def read_part(archive: zipfile.ZipFile, name: str) -> bytes:
    """A part's bytes. Raises: DocumentRefused if it is missing or too large."""
    try:
        size = archive.getinfo(name).file_size
    except KeyError:
        raise DocumentRefused(
            f"the file is damaged: {name} is missing in it",
            hint="open it in the program that made it, save it again, and add the new file",
        ) from None
    if size > MAX_PART_BYTES:
        raise DocumentRefused(f"{name} in the file is too large to be read", hint="split the file")
    return archive.read(name)


def read_xml_part(archive: zipfile.ZipFile, name: str) -> Any:
    """The root element of a part. Raises: as `read_part` and `read_xml`."""
    return read_xml(read_part(archive, name))
