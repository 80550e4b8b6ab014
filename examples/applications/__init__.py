"""What the embedder is for, by its model card: small programs that measure, `python -m examples.applications.NAME`."""
