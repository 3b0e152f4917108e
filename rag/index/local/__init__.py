"""The local backend: SQLite for texts, FAISS for vectors, a manifest over both."""
