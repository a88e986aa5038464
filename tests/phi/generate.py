"""Writes the redaction corpus as JSON lines: {template, split, text, spans: [{class, start, end, text}]}.

Offsets are bytes of the text as UTF-8. The values come from Faker, hl7apy and pydicom, not from the engine's patterns.

    python generate.py [--seed N] [--samples N] > corpus.jsonl
"""

import argparse
import json
import pathlib
import re
import sys

import messages
from kinds import Kinds

HERE = pathlib.Path(__file__).parent
SLOT = re.compile(r"\{\{([A-Za-z0-9_.]+)\}\}")


def templates(split):
    for line in (HERE / "templates" / f"{split.replace('-', '_')}.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, text = line.split(" | ", 1)
            yield name, text.replace("\\n", "\n")


def expand(kinds, kind):
    """The text of one slot, and its (class, start, end) in characters."""
    if kind == "geo.full":
        street, city, code = (kinds.make(f"geo.{part}")[1] for part in ("street", "city", "zip"))
        text = f"{street.replace(chr(10), ' ')}, {city}, {kinds.fake.state_abbr()} {code}"
        return text, locate(text, [("geo", street.replace("\n", " ")), ("geo", city), ("geo", code)])
    if kind.startswith("hl7."):
        text, found = messages.hl7(kinds, kind.removeprefix("hl7."))
        return text, locate(text, found)
    if kind == "dicom.dump":
        text, found = messages.dicom(kinds)
        return text, locate(text, found)
    cls, text = kinds.make(kind)
    return text, [(cls, 0, len(text))] if cls else []


def locate(text, found):
    """Where the values stand, searched in order; a value that a library wrote otherwise is a mistake here."""
    spans, at = [], 0
    for cls, value in found:
        start = text.index(value, at)
        at = start + len(value)
        spans.append((cls, start, at))
    return spans


def fill(kinds, template):
    text, spans, at = "", [], 0
    for slot in SLOT.finditer(template):
        text += template[at:slot.start()]
        piece, inner = expand(kinds, slot.group(1))
        spans += [(cls, len(text) + start, len(text) + end) for cls, start, end in inner]
        text += piece
        at = slot.end()
    return text + template[at:], spans


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--seed", type=int, default=164514)
    args.add_argument("--samples", type=int, default=40)
    args = args.parse_args()
    kinds = Kinds(args.seed)
    for split in ("tune", "held-out"):
        for name, template in templates(split):
            for _ in range(args.samples):
                text, spans = fill(kinds, template)
                size = lambda end: len(text[:end].encode())
                row = {"template": name, "split": split, "text": text, "spans": [
                    {"class": cls, "start": size(start), "end": size(end), "text": text[start:end]}
                    for cls, start, end in spans
                ]}
                sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
