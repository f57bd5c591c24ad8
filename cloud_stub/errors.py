"""What can go wrong in the service; every message is one sentence: what was expected, what came, what to do next.

ServiceError
    ModelNotUsable     the language model is missing, damaged, or cannot follow a chat
    ScorerNotUsable    the NLI model is missing, or says nothing about entailment
    PortInUse          another program listens there
    UpstreamNotUsable  the upstream server cannot be reached, or refuses the key
    UpstreamFailed     the upstream server failed on all samples of a prompt
    RecordTooLong      a record and its samples do not fit into the model's context
"""


class ServiceError(Exception):
    """One sentence for the person."""


class ModelNotUsable(ServiceError):
    """The language model is missing, damaged, or cannot follow a chat."""


class ScorerNotUsable(ServiceError):
    """The NLI model is missing, or says nothing about entailment."""


class PortInUse(ServiceError):
    """Another program listens there."""


class UpstreamNotUsable(ServiceError):
    """The upstream server cannot be reached, or refuses the key."""


class UpstreamFailed(ServiceError):
    """The upstream server failed on all samples of a prompt."""


class RecordTooLong(ServiceError):
    """A record and its samples do not fit into the model's context."""
