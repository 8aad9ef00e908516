"""Facts of a manifest in words, as the commands and the model card print them."""

from __future__ import annotations

from models.store.manifest import AnswerDistance, Manifest

__all__ = ["describe_measurements", "describe_trials", "format_mebibytes"]

_MEBIBYTE = 1024 * 1024


def describe_measurements(manifest: Manifest) -> str:
    """One line per labelled file on which the model was measured when it was prepared."""
    lines = []
    for measured in manifest.measurements:
        before = "not published" if measured.fp32 is None else f"{measured.fp32:.4f}"
        lost = "" if measured.points_lost is None else f", {measured.points_lost:.2f} points lost"
        lines.append(f"at preparation, on {measured.data}: FP32 {before}, INT8 {measured.int8:.4f}{lost}")
    return "\n".join(lines) or "accuracy was not measured at preparation (--evaluate FILE does)"


def describe_trials(manifest: Manifest) -> str:
    """What the trials of recipes were measured on, and one line per trial; the chosen recipe is marked."""
    conditions = manifest.trial_conditions
    if conditions is None:
        return "no recipes were compared at preparation"
    width = max(len(trial.recipe) for trial in manifest.trials)
    measured_on = (
        f"recipes by their distance from FP32, on {conditions.held_back_rows} held-back rows of {conditions.data}, in "
        f"{conditions.arithmetic} on {conditions.cpu}, at most {conditions.max_distance:g}"
    )
    trials = [
        f"{'*' if trial.is_chosen else ' '} {trial.recipe:<{width}}  {_describe_distance(trial.distance)}, "
        f"{trial.speed:.2f} times as fast as FP32"
        for trial in manifest.trials
    ]
    in_f32 = manifest.distance_in_f32
    f32_lines = [f"  {'in f32':<{width}}  {_describe_distance(in_f32)}"] if in_f32 else []
    return "\n".join([measured_on, *trials, *f32_lines])


def _describe_distance(distance: AnswerDistance) -> str:
    spans = "" if distance.equal_spans is None else f"equal spans {distance.equal_spans:.4f}, "
    return f"{spans}mean {distance.mean:.4f}, p99.9 {distance.p999:.4f}, largest {distance.largest:.4f}"


def format_mebibytes(size_bytes: int) -> str:
    """Format a size, such as ``23.4 MiB``."""
    return f"{size_bytes / _MEBIBYTE:.1f} MiB"
