"""What scores say of design choices, and how sure that is."""
