"""Faults on purpose: real processes are broken while they work, and what they did is held against what was promised."""
