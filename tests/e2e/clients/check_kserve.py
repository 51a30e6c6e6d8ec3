"""Name the fields of KServe's resources on standard input that KServe does not know.

Run by tests/e2e/test_protocol_clients.py with the interpreter of build/clients/kserve, whose
classes are made from the schemas of its custom resources. What a pod has is checked as a pod
elsewhere.
"""

import re
import sys

import kserve
import yaml

KINDS = {
    "ServingRuntime": kserve.V1alpha1ServingRuntime,
    "InferenceService": kserve.V1beta1InferenceService,
}


def unknown(kind, data, where):
    names = {name: attribute for attribute, name in kind.attribute_map.items()}
    for name, value in data.items():
        if name not in names:
            yield f"{where}.{name}"
            continue
        described = kind.openapi_types[names[name]]
        inner = getattr(kserve, re.sub(r"^list\[(.*)\]$", r"\1", described), None)
        if inner is None:
            continue
        for one in value if described.startswith("list[") else [value]:
            yield from unknown(inner, one, f"{where}.{name}")


checked = [manifest for manifest in yaml.safe_load_all(sys.stdin) if manifest]
for manifest in checked:
    for path in unknown(KINDS[manifest["kind"]], manifest, manifest["kind"]):
        print(path)
print(len(checked), "checked")
