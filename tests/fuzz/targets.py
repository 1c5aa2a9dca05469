"""Every fuzz target by its name."""

from tests.fuzz.door_targets import door_targets
from tests.fuzz.target import Target
from tests.fuzz.wire_targets import wire_targets

TARGETS: dict[str, Target] = {one.name: one for one in (*wire_targets(), *door_targets())}
