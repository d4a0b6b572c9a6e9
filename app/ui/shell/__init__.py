"""The window around the places: rail, status corner, the one sign-in bar, palette, activity drawer, keyboard map.

Door: `window.MainWindow`.
"""
