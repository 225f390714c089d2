"""Reads over HTTP: nothing is computed here."""
