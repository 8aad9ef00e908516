"""From FP32 to INT8: rows to calibrate on, recipes, and what they cost in accuracy."""
