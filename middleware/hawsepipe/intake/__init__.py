"""From an accepted message to its effect: journal, translation, dead letters."""
