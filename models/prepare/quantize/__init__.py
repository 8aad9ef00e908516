"""From FP32 to INT8: calibration rows, recipes, and what they cost in accuracy."""
