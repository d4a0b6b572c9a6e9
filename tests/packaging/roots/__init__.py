"""Bare Debian systems to install packages into, each in namespaces of its own that end with the test."""
