"""Build, check, publish and open an index."""
