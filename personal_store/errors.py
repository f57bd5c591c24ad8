"""What can go wrong in the store; every message is one sentence that a person can act on.

StoreError
    StoreNotReadable    the file is no store of ours, is damaged, or cannot be opened
    StoreTooNew         the file was written by a newer version of the program
    StoreFull           the disk is full; nothing of the change was kept
    StoreBusy           another process held the file for too long
    AlreadyStored       an edit would make a record equal to another
    StillUsed           a task that records belong to cannot be deleted
    NotEmpty            an archive comes back only into a store that holds nothing yet
    NotFound            no record, pair, adapter or job has that id
"""


class StoreError(Exception):
    """Something the store could not do."""


class StoreNotReadable(StoreError):
    """The file is no store of ours, is damaged, or cannot be opened."""


class StoreTooNew(StoreError):
    """The file was written by a newer version of the program."""


class StoreFull(StoreError):
    """The disk is full; nothing of the change was kept."""


class StoreBusy(StoreError):
    """Another process kept the file locked for too long; nothing of the change was kept."""


class NotFound(StoreError):
    """No record, pair, adapter or job has that id."""


class AlreadyStored(StoreError):
    """Another record has exactly that content."""


class StillUsed(StoreError):
    """A task that records belong to cannot be deleted."""


class NotEmpty(StoreError):
    """An archive comes back only into a store that holds nothing yet."""
