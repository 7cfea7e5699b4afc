"""Getting an image: known ones are there at once, others fail as a registry's would; called by `container`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interceptor.devcluster.node.container import Container

_FIRST, _MOST = 10.0, 300.0


async def pull(container: Container) -> bool:
    """Wait until the image is there; False when the pod stops first."""
    image, policy = container.spec["image"], container.spec["imagePullPolicy"]
    delay = _FIRST
    while container.worker.images.find(image) is None:
        if policy == "Never":
            message = f'Container image "{image}" is not present with pull policy of Never'
            container.event("ErrImageNeverPull", message, "Warning")
            container.wait_for("ErrImageNeverPull", message)
        else:
            error = (
                f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
            )
            container.event("Pulling", f'Pulling image "{image}"')
            container.event("Failed", f'Failed to pull image "{image}": {error}', "Warning")
            container.event("Failed", "Error: ErrImagePull", "Warning")
            container.wait_for("ErrImagePull", error)
            if await container.stopped_within(1.0):
                return False
            container.event("BackOff", f'Back-off pulling image "{image}"', "Normal")
            container.event("Failed", "Error: ImagePullBackOff", "Warning")
            container.wait_for("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {error}')
        if await container.stopped_within(delay):
            return False
        delay = min(delay * 2, _MOST)
    container.event("Pulled", f'Container image "{image}" already present on machine')
    return True
