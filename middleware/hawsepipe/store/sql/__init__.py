"""What both stores write and ask, in words that their databases share (see `../DESIGN.md`)."""
