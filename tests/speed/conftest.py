"""Keeps pytest, doctests included, out of this folder: the rivals are not part of the test environment."""

collect_ignore_glob = ["*"]
