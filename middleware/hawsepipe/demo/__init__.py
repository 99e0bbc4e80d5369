"""The tour that `hawsepipe demo` gives, through public ways only: MLLP, HTTP and the command line."""
