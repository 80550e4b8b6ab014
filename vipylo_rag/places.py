"""Where uploaded files lie in an index directory: a name for each folder, known to the server and to backups."""

from typing import Final

UPLOADS: Final = "uploads"
# Inside that folder. Hidden: nothing in them is a document yet.
RECEIVING: Final = ".receiving"
WAITING: Final = ".waiting"
# Held by the server that takes uploads.
SERVER_LOCK: Final = "server.lock"
