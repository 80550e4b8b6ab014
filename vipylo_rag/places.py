"""Where uploaded files and the page graph lie in an index directory: a name for each, known to all who must."""

from typing import Final

UPLOADS: Final = "uploads"
# Inside that folder. Hidden: nothing in them is a document yet.
RECEIVING: Final = ".receiving"
WAITING: Final = ".waiting"
# Held by the server that takes uploads.
SERVER_LOCK: Final = "server.lock"
# The page graph, in the index directory.
GRAPH: Final = "graph"
