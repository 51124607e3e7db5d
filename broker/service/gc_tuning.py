"""How a broker collects garbage: rarely, since its requests leave no circles behind."""

import gc

_MORE_OBJECTS = 10_000
"""How many more objects there are before the collector looks: a burst of pipelined requests is no reason to."""


def collect_rarely() -> None:
    """Keep what there is out of later collections, and let those come less often. To be called once all is set up."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_MORE_OBJECTS, *gc.get_threshold()[1:])
