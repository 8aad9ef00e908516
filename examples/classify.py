"""Labels the lines of a text: ``python -m examples.classify "what a day" "never again"``."""

from __future__ import annotations

import argparse

from examples.connect import connect


def main() -> None:
    """Print a label and its score for each text."""
    parser = argparse.ArgumentParser(prog="python -m examples.classify", description=__doc__)
    parser.add_argument("text", nargs="+")
    parser.add_argument("--broker-url", help="by default the setting CELERIAC_BROKER_URL")
    options = parser.parse_args()
    texts: list[str] = options.text
    with connect(options.broker_url) as client:
        for text, answer in zip(texts, client.classify(texts), strict=True):
            if isinstance(answer, list):
                print(f"{text}: {answer[0]['label']} {answer[0]['score']:.3f}")
            else:
                print(f"{text}: {answer['error']['message']}")


if __name__ == "__main__":
    main()
