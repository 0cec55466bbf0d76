"""Where cells run, and which of them are still to be run."""
