"""Feed cases against the real service, over real sockets:

    python -m hawsepipe_conformance.feeds CASES.json [--json] [--only AK,FR-0]
    python -m hawsepipe_conformance.feeds CASES.json --mllp HOST:PORT --url URL --token TOKEN [--feed NAME]

Starts a service with a feed for each case (or takes one that runs), sends what the case says, compares what comes back
and what is stored, prints a line for each case and exits 1 if one fails. An expectation that is not understood, or
that nothing has measured, is a failure. Cases whose expectation is prose have a check in `checks`, written for exactly
that prose.
"""
