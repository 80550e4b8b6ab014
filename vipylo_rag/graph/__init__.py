"""The page graph: documents, pages, figures and entities as a property graph that searches can walk."""
