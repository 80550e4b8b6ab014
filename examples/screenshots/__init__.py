"""Pictures for the docs: the web page, the page graph and the evaluation's report, seen in headless Chromium.

The web page is the real server's before the demo's documents, and before some of the two-hop questions' for mode graph.

python -m examples.screenshots [OUTDIR]     # from the root of a checkout, after `make demo`; OUTDIR is "docs/images"
"""
