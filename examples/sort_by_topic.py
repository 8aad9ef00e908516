"""Sorts texts by topics of your own: ``python -m examples.sort_by_topic --topics "travel, money" "a late train"``."""

from __future__ import annotations

import argparse

from examples.connect import connect


def main() -> None:
    """Print the best topic of each text and its score."""
    parser = argparse.ArgumentParser(prog="python -m examples.sort_by_topic", description=__doc__)
    parser.add_argument("text", nargs="+")
    parser.add_argument("--topics", required=True, help="separated by commas")
    parser.add_argument("--template", default="This text is about {}.", help="default: %(default)s")
    parser.add_argument("--broker-url", help="by default the setting CELERIAC_BROKER_URL")
    options = parser.parse_args()
    texts: list[str] = options.text
    topics: str = options.topics
    with connect(options.broker_url) as client:
        answers = client.classify_zero_shot(texts, topics, hypothesis_template=options.template)
        for text, answer in zip(texts, answers, strict=True):
            if "error" in answer:
                print(f"{text}: {answer['error']['message']}")
            else:
                print(f"{text}: {answer['labels'][0]} {answer['scores'][0]:.3f}")


if __name__ == "__main__":
    main()
