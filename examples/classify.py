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
    with connect(options.broker_url) as client:
        for text, answer in zip(options.text, client.classify(options.text), strict=True):
            if "error" in answer:
                print(f"{text}: {answer['error']['message']}")
            else:
                print(f"{text}: {answer[0]['label']} {answer[0]['score']:.3f}")


if __name__ == "__main__":
    main()
