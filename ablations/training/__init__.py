"""Cells in, records out."""
