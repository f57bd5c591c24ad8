"""Which adapters fit the device model, and which of them is on: one that was trained on another model is off."""

from app.device.catalogue import LocalModel
from app.device.weights import model_hash
from app.errors import SHOWN, AdapterRefused
from app.pipeline.models import device_model
from app.pipeline.workspace import Workspace
from personal_store import training
from personal_store.nouns import Adapter


def _fits(adapter: Adapter, model: LocalModel) -> bool:
    return bool(adapter.manifest.get("base_hash") == model_hash(model))


def fitting(workspace: Workspace) -> tuple[Adapter, ...]:
    """The adapters that were trained on the device model, the newest first; raises ModelMissing and ModelDamaged."""
    with workspace.store() as store:
        found = training.adapters(store)
    # Without an adapter there is no need to read a model of gigabytes for its hash.
    model = device_model(workspace) if found else None
    return tuple(adapter for adapter in found if model and _fits(adapter, model))


def active(workspace: Workspace) -> Adapter | None:
    """The adapter that writes here now; raises ModelMissing and ModelDamaged."""
    return next((adapter for adapter in fitting(workspace) if adapter.active), None)


def find_active(workspace: Workspace) -> Adapter | None:
    """The same for lists; None also while the model is missing, which is said elsewhere."""
    try:
        return active(workspace)
    except SHOWN:
        return None


def require_fit(adapter: Adapter, model: LocalModel) -> None:
    """Raises AdapterRefused for an adapter that was trained on another model."""
    if not _fits(adapter, model):
        raise AdapterRefused(
            f"The adapter {adapter.name} was trained on {adapter.base} and not on {model.name}, which writes here now;"
            " choose its model again, or train an adapter on this one."
        )


def switch(workspace: Workspace, adapter_id: int | None) -> None:
    """Switch an adapter on, or all off; raises NotFound, AdapterRefused for one of another model, and ModelMissing."""
    with workspace.store() as store:
        adapter = None if adapter_id is None else training.get_adapter(store, adapter_id)
    if adapter is not None:
        require_fit(adapter, device_model(workspace))
    with workspace.store() as store:
        training.activate(store, adapter_id)
