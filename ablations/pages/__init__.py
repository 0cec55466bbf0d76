"""The committed pages that are about no sweep, and all of them together."""
