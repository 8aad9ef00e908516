"""The chain of recipes of a model."""

from __future__ import annotations

import pytest

from models.prepare.quantize.recipe import QuantizationRecipe, recipes_for

WIDTHS = [384] * 18 + [1536] * 6


@pytest.mark.parametrize("attention_rank", [None, 0, 3, 24])
def test_the_chain_goes_from_all_static_to_weights_alone_one_way(attention_rank: int | None) -> None:
    recipes = recipes_for(WIDTHS, attention_rank)
    assert len(set(map(str, recipes))) == len(recipes)
    first, last = recipes[0], recipes[-1]
    assert (first.dynamic_inputs, first.has_int8_attention) == (0, attention_rank is not None)
    assert str(last) == "weights alone"
    assert not last.quantizes_activations
    assert all(recipe.quantizes_activations for recipe in recipes[:-1])
    dynamic = [recipe.dynamic_inputs for recipe in recipes]
    assert dynamic == sorted(dynamic)
    attention = [recipe.has_int8_attention for recipe in recipes]
    assert attention == sorted(attention, reverse=True)


def test_attention_leaves_int8_once_the_inputs_that_hurt_more_are_dynamic() -> None:
    recipes = recipes_for(WIDTHS, attention_rank=3)
    assert all(recipe.has_int8_attention == (recipe.dynamic_inputs < 3) for recipe in recipes if recipe.inputs == 24)


@pytest.mark.parametrize(
    ("widths", "expected"),
    [
        ([384, 1536], [384, 192, 0]),
        ([768, 3072], [384, 192, 0]),
        ([1024, 4096], [512, 256, 0]),
        ([32, 64], [32, 0]),
        # No length suits both, so OpenVINO leaves a shorter group at the end.
        ([312, 1200], [128, 0]),
    ],
)
def test_groups_divide_all_widths_if_any_length_does(widths: list[int], expected: list[int]) -> None:
    groups = [recipe.group_values for recipe in recipes_for(widths, None) if recipe.dynamic_inputs == len(widths)]
    assert groups == expected


def test_a_recipe_says_what_it_is() -> None:
    assert [
        str(recipe)
        for recipe in (
            QuantizationRecipe(24, 0, 384, has_int8_attention=True),
            QuantizationRecipe(24, 3, 384, has_int8_attention=False),
            QuantizationRecipe(24, 24, 192, has_int8_attention=False),
            QuantizationRecipe(24, 24, 0, has_int8_attention=False),
        )
    ] == [
        "static, INT8 attention",
        "static, 3 of 24 inputs dynamic",
        "dynamic in groups of 192",
        "weights alone",
    ]
