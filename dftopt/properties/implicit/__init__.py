"""Derivatives of the minimum itself, by the implicit function theorem."""
