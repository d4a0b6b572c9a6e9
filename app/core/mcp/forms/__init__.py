"""The form for a tool's arguments, without widgets.

Door: `model.FormModel`, made from a JSON Schema. `validation` checks arguments before they are sent.
"""
