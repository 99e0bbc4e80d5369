"""Content too large for a resource's JSON, kept beside the store under its own SHA-256; see DESIGN.md."""
