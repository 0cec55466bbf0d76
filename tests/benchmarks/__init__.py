"""Measurements, each to be run by itself or by `ablations bench`; none of them is a test."""
