"""Why something is edited as JSON."""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """Why a field, or a whole form, has no better editor than JSON. The value is a sentence for the user."""

    UNREADABLE = "The server's schema cannot be read."
    REFERENCE = "Its schema refers to something that does not exist, or to itself."
    UNSTATED = "The server does not say what kind of value it is."
    SEVERAL_KINDS = "It may be of different kinds."
    OBJECT = "It is made of several values."
    POSITIONS = "Its items differ by position."
    ITEMS_UNSTATED = "The server does not say what its items are."
    ITEMS_NOT_PLAIN = "Its items are not plain values."
    TOO_MANY_CHOICES = "It has too many possible values for a list."
    NOT_WRITABLE = "Its possible values are nested too deeply for a list."
    NO_VALUE = "No value is valid."

    ARGUMENTS_UNSTATED = "The server does not say which arguments the tool takes."
    NAMES_FREE = "The names of the arguments are free."
    NO_OBJECT = "The arguments are not a set of names and values."
