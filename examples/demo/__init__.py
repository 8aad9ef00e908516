"""``python -m examples.demo``: the main job from end to end, on this machine."""
