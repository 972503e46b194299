"""Choosing and ordering tests: pure functions, no Django."""
