"""The window around the places: rail, status corner, the sign-in bar, palette, activity drawer, keyboard map.

Door: `window.MainWindow`.
"""
