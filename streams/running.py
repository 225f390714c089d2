"""Finding the services that run on this machine, so that nobody has to type their addresses."""

from pathlib import Path

from streams.services.supervisor import status
from streams.settings import Settings


def demo_folder(settings: Settings) -> Path:
    """Return where the demo keeps its services."""
    return settings.folder / "demo"


def reachable(settings: Settings) -> Settings:
    """Return the settings with the addresses of what runs here, the demo's first, wherever the operator set none."""
    return _with_services_of(settings, settings.folder, demo_folder(settings))


def local(settings: Settings) -> Settings:
    """Return the settings with the addresses of `headrace services`, wherever the operator set none.

    For commands that write: they never take the demo's services for those that are to last.
    """
    return _with_services_of(settings, settings.folder)


def _with_services_of(settings: Settings, *folders: Path) -> Settings:
    found: dict[str, str] = {}
    for folder in folders:
        if (folder / "services.json").exists():
            found |= {part: of.address for part, of in status(folder).items() if of.ready and of.address}
    unset = {name: address for name, address in found.items() if name not in settings.model_fields_set}
    return settings.model_copy(update=unset)
