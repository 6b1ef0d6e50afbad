"""A simulated shop with a story in it, replayed at high speed through a real Heed."""
