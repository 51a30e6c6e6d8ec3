"""What a started process does not look at again."""

import gc

from service.serving.garbage_collection import tune_garbage_collector


def test_what_is_loaded_is_out_of_the_collectors_sight():
    """What was loaded before is frozen; what comes after is collected as ever."""
    often = gc.get_threshold()
    try:
        tune_garbage_collector()
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 1_000
        assert gc.get_threshold()[0] > often[0]
    finally:
        gc.set_threshold(*often)
        gc.unfreeze()
