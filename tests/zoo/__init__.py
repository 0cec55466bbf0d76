"""U-Nets to try a verifier on: sound ones in many styles, and ones broken in one way each."""
