"""U-Nets that no one here wrote, from published packages, held against our checks."""
