"""A second opinion: reads redacted lines from standard input, prints what Presidio still finds in them.

Only its pattern recognisers run, over a blank spaCy pipeline: no model is downloaded. What its
patterns cut out of a longer token is no finding; see `artefact`. Exit status 1 if anything is found.

    appliance-output | python presidio_check.py [--threshold 0.4]
"""

import argparse
import pathlib
import re
import sys
import tempfile

import spacy
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpEngineProvider

MARK = re.compile(
    r"<(name|place|date|phone|fax|email|ssn|mrn|plan|account|licence|vehicle|device|url|ip|biometric|photo|code|hl7)>"
)


def engine(folder):
    """Presidio without its named-entity recogniser."""
    model = pathlib.Path(folder) / "blank"
    spacy.blank("en").to_disk(model)
    nlp = NlpEngineProvider(nlp_configuration={
        "nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": str(model)}],
    }).create_engine()
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(nlp_engine=nlp, languages=["en"])
    registry.recognizers = [each for each in registry.recognizers if each.name != "SpacyRecognizer"]
    return AnalyzerEngine(nlp_engine=nlp, registry=registry, supported_languages=["en"])


def artefact(line, hit):
    """A hit that cannot be what it is called, whoever reads it."""
    text, before, after = line[hit.start:hit.end], line[:hit.start], line[hit.end:]
    # `nginx.se` of `nginx.service`: cut within a word; 5.1.4.1 of 1.2.840.10008.5.1.4.1.1.2: within a number with dots.
    if before[-1:].isalnum() or after[:1].isalnum() or re.search(r"\d\.$", before) or re.match(r"\.\d", after):
        return True
    # The telephone library takes four digits for a number somewhere; seven is the least that reaches a person.
    if hit.entity_type == "PHONE_NUMBER" and sum(c.isdigit() for c in text) < 7:
        return True
    # `pool.py`: a source file, not a host in Paraguay.
    return hit.entity_type == "URL" and re.fullmatch(r"\w+\.(py|pl|sh|rs|so|cc|md)", text) is not None


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--threshold", type=float, default=0.4)
    args = args.parse_args()
    found = lines = 0
    with tempfile.TemporaryDirectory() as folder:
        analyzer = engine(folder)
        for lines, line in enumerate(sys.stdin, start=1):
            for hit in analyzer.analyze(text=line, language="en", score_threshold=args.threshold):
                text = line[hit.start:hit.end]
                if not artefact(line, hit) and MARK.sub("", text).strip(" .,:;()[]'\"-/"):
                    found += 1
                    print(f"{lines}: {hit.entity_type} {hit.score:.2f} {text!r} in {line.rstrip()!r}")
    print(f"presidio: {found} findings in {lines} lines", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
