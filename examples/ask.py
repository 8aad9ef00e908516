"""Answers a question from a text: ``python -m examples.ask "What is late?" "Snow made the train late."``."""

from __future__ import annotations

import argparse

from examples.connect import connect


def main() -> None:
    """Print the answer, where it stands and its score."""
    parser = argparse.ArgumentParser(prog="python -m examples.ask", description=__doc__)
    parser.add_argument("question")
    parser.add_argument("context", help="the text that holds the answer")
    parser.add_argument("--broker-url", help="by default the setting CELERIAC_BROKER_URL")
    options = parser.parse_args()
    question: str = options.question
    context: str = options.context
    with connect(options.broker_url) as client:
        answer = client.answer(question, context)
    print(f"{answer['answer']} (characters {answer['start']} to {answer['end']}, score {answer['score']:.3f})")


if __name__ == "__main__":
    main()
