"""AppStream's description of Burrow for software centres
(https://www.freedesktop.org/software/appstream/docs/chap-Metadata.html)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from linux.about import DESCRIPTION, NAME, SUMMARY

if TYPE_CHECKING:
    from linux.about import Release


def document(release: Release, homepage: str = "", screenshot: str = "") -> bytes:
    """`homepage` and `screenshot` are addresses that a distributor publishes; without them those parts are left out."""
    root = ElementTree.Element("component", type="desktop-application")

    def add(tag: str, words: str = "", parent: ElementTree.Element = root, **attributes: str) -> ElementTree.Element:
        element = ElementTree.SubElement(parent, tag, attributes)
        element.text = words or None
        return element

    add("id", NAME)
    add("name", "Burrow")
    add("summary", SUMMARY)
    add("metadata_license", "CC0-1.0")
    add("project_license", "MIT")
    add("developer_name", "The Burrow authors")
    description = add("description")
    for words in DESCRIPTION:
        add("p", words, description)
    add("launchable", f"{NAME}.desktop", type="desktop-id")
    if homepage:
        add("url", homepage, type="homepage")
    if screenshot:
        add("image", screenshot, add("screenshot", parent=add("screenshots"), type="default"))
    provides = add("provides")
    add("binary", NAME, provides)
    add("mediatype", "x-scheme-handler/burrow", provides)
    add("category", "Development", add("categories"))
    add("content_rating", type="oars-1.1")
    date = datetime.fromtimestamp(release.epoch, UTC).strftime("%Y-%m-%d")
    add("release", parent=add("releases"), version=release.version, date=date)
    ElementTree.indent(root)
    body: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return body + b"\n"
