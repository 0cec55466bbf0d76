"""Nets that earn each message of each check, by family, and sound ones that earn none."""
