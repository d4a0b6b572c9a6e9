"""The kinds of editors of arguments."""

from __future__ import annotations

from enum import Enum


class FieldKind(Enum):
    """The kinds of editors."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    CONST = "const"
    LIST = "list"
    JSON = "json"


NAMES = {
    FieldKind.TEXT: "text",
    FieldKind.INTEGER: "whole number",
    FieldKind.NUMBER: "number",
    FieldKind.BOOLEAN: "yes or no",
    FieldKind.CHOICE: "choice",
    FieldKind.CONST: "fixed value",
    FieldKind.LIST: "list",
    FieldKind.JSON: "JSON",
}
KIND_OF_TYPE = {
    "string": FieldKind.TEXT,
    "integer": FieldKind.INTEGER,
    "number": FieldKind.NUMBER,
    "boolean": FieldKind.BOOLEAN,
}
