"""Reads over HTTP: nothing is scored here."""
