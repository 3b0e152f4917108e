"""The parts of verification: tokens, sentences of both sides, search elsewhere, and named changes."""
