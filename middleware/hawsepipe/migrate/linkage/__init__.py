"""Who is who between sources: pairs, decisions, groups, links."""
