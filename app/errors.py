"""What can go wrong in the app; every message says what was expected, what came, and what to do next.

    AppError
        BadInput            what the person gave cannot be used (usage: exit code 2)
        FileNotUsable       a file cannot be read, is empty, or lacks a column
        NeedsConsent        a record with something personal in it is shared only after the person agreed
        NothingShared       the action needs shared records and there are none
        NothingToTrain      the training set would be empty
        ApprovalMismatch    what would be sent, or where to, is not what was approved
        CloudError          the augmentation service is down, refuses, or answers what it must not
        ModelMissing        a model is not on this computer
        ModelDamaged        a model file is cut short or is not what its name says
        ModelClosed         another model was chosen while an answer was written
        DownloadFailed      a model could not be fetched
        AdapterRefused      an adapter is unfinished, changed, or made for another base
        JobRefused          a job cannot start, stop or resume in its present state
        Offline             the offline switch is on
        DiskFull            there is no room left; nothing half-written was kept
        NotWritten          the system will not have a file for another reason; nothing half-written was kept
        OutOfMemory         a training does not fit in memory even one example at a time
        PortNotOpened       a port is taken, or the system refuses it
        WorkerLost          a process or machine that worked on a run is gone

The store has a tree of its own (personal_store.errors). A surface shows either as it is: SHOWN.
"""

from personal_store.errors import StoreError


class AppError(Exception):
    """One sentence for the person."""


class BadInput(AppError):
    """What the person gave cannot be used."""


class FileNotUsable(AppError):
    """A file cannot be read, is empty, or lacks a column."""


class NeedsConsent(AppError):
    """A record with something personal in it is shared only after the person agreed to just that."""


class NothingShared(AppError):
    """The action needs shared records and there are none."""


class NothingToTrain(AppError):
    """The training set would be empty."""


class ApprovalMismatch(AppError):
    """What would be sent, or where to, is not what was approved."""


class CloudError(AppError):
    """The augmentation service is down, refuses, or answers what it must not."""


class ModelMissing(AppError):
    """A model is not on this computer."""


class ModelDamaged(AppError):
    """A model file is cut short or is not what its name says."""


class ModelClosed(AppError):
    """Another model was chosen while an answer was written."""


class DownloadFailed(AppError):
    """A model could not be fetched."""


class AdapterRefused(AppError):
    """An adapter is unfinished, changed, or made for another base."""


class JobRefused(AppError):
    """A job cannot start, stop or resume in its present state."""


class Offline(AppError):
    """The offline switch is on."""


class DiskFull(AppError):
    """There is no room left; nothing half-written was kept."""


class NotWritten(AppError):
    """The system will not have a file for another reason than room; nothing half-written was kept."""


class OutOfMemory(AppError):
    """A training does not fit in memory even one example at a time; its checkpoint is kept."""


class PortNotOpened(AppError):
    """A port is taken, or the system refuses it."""


SHOWN = (AppError, StoreError)
"""What a surface catches and shows as one sentence; anything else is a defect."""


class WorkerLost(AppError):
    """A process or machine that worked on a run's units is gone."""
