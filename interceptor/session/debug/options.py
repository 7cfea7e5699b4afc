"""What a person asked of `interceptor debug`, after parsing; `cli.debug` fills it, `plan` reads it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from interceptor import __version__
from interceptor.session.options import Access
from interceptor.workload.debugger import Profile

IMAGE_VARIABLE = "INTERCEPTOR_DEBUG_IMAGE"
Errand = Literal["terminal", "capture", "connections", "dns"]
Way = Literal["ephemeral", "copy", "inject"]

# What each errand needs, and whether it looks at every pod or at one.
_PROFILES: dict[Errand, Profile] = {
    "terminal": "general",
    "capture": "netadmin",
    "connections": "netadmin",
    "dns": "restricted",  # a question over UDP needs no capability, so that no namespace refuses it
}
EVERY_POD = frozenset({"capture", "connections"})


def default_image() -> str:
    """Our own, built from images/debug; where it was pushed is the environment's to say."""
    return os.environ.get(IMAGE_VARIABLE) or f"interceptor/debug:{__version__}"


@dataclass(frozen=True, slots=True)
class DebugOptions:
    """One `interceptor debug`."""

    target: str
    errand: Errand = "terminal"
    command: tuple[str, ...] = ()  # none: a shell
    way: Way = "ephemeral"
    pod: str | None = None
    image: str | None = None
    profile: Profile | None = None
    share: str | None = None  # the container whose processes are seen
    capture: str = ""  # a file, or "-"
    filter: str = ""
    name: str = ""  # for dns
    access: Access = field(default_factory=Access)

    @property
    def chosen_profile(self) -> Profile:
        """The one typed, else what the errand needs."""
        return self.profile or _PROFILES[self.errand]

    @property
    def chosen_image(self) -> str:
        """The one typed, else the default."""
        return self.image or default_image()

    @property
    def every_pod(self) -> bool:
        """Whether all of the workload's pods are looked at."""
        return self.errand in EVERY_POD and self.pod is None and self.way != "copy"
