"""Holds OSCAL documents against two readers that are none of ours: NIST's JSON schemas of OSCAL 1.1.3 (by jsonschema-rs), and
compliance-trestle, whose models are of a later OSCAL and which refuses what a schema cannot see, such as one UUID twice.

    exports.py SCHEMAS SCRATCH FILE...

Prints a line for each file; exit 1 where one is refused.
"""

import contextlib
import io
import json
import os
import pathlib
import sys

import jsonschema_rs
from trestle.cli import Trestle

# What a document is called by its one key: NIST's schema, and trestle's name of the model.
KINDS = {
    "catalog": ("oscal_catalog_schema.json", "catalog"),
    "component-definition": ("oscal_component_schema.json", "component-definition"),
    "assessment-plan": ("oscal_assessment-plan_schema.json", "assessment-plan"),
    "assessment-results": ("oscal_assessment-results_schema.json", "assessment-results"),
    "plan-of-action-and-milestones": ("oscal_poam_schema.json", "plan-of-action-and-milestones"),
}


def trestle(*arguments):
    """Runs the command in this process: it takes a second to load, and no time after that."""
    said = io.StringIO()
    sys.argv = ["trestle", *arguments]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = Trestle().run()
        except SystemExit as ended:
            code = ended.code or 0
    return code, said.getvalue()


def refused(schemas, name, path):
    document = json.loads(path.read_text())
    if len(document) != 1 or next(iter(document)) not in KINDS:
        return f"is no document of ours: {list(document)}"
    schema, model = KINDS[next(iter(document))]
    validator = jsonschema_rs.validator_for(json.loads((schemas / schema).read_text()))
    errors = [f"{error.instance_path}: {error.message[:200]}" for error in validator.iter_errors(document)]
    if errors:
        return f"{len(errors)} errors by NIST's schema, the first: {errors[0]}"
    code, said = trestle("import", "-f", str(path), "-o", name)
    if code != 0:
        return f"trestle does not import it: {said.strip()}"
    code, said = trestle("validate", "-t", model, "-n", name)
    if code != 0 or "VALID: Model" not in said or "INVALID" in said:
        return f"trestle does not call it valid: {said.strip()}"
    return None


def main(schemas, scratch, *paths):
    schemas, paths = pathlib.Path(schemas).resolve(), [pathlib.Path(path).resolve() for path in paths]
    os.chdir(scratch)
    code, said = trestle("init")
    if code != 0:
        sys.exit(f"trestle init: {said}")
    bad = 0
    for number, path in enumerate(paths):
        problem = refused(schemas, f"n{number}", path)
        print(f"{path}: {problem or 'VALID'}")
        bad += problem is not None
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
