"""The composition root: from a configuration to everything open."""
