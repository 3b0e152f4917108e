"""The screen over a question for what cannot wait."""
