"""Whether a process whose number was written down is still there."""

import os


def is_gone(process_id: int) -> bool:
    """Whether no process of this user has that number."""
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, PermissionError):
        return True
    return False
