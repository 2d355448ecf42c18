"""The bill of materials of a bundle, as CycloneDX 1.6 JSON: packages, native code and weights.

Nouns to text. Invariant: the same bundle gives the same text.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kit.bundle.make.wheels import Wheel, normalized

_NAMESPACE = uuid.UUID("6a3a1f0e-6c0f-5d0e-9d8e-0b6f3c1f7b11")  # ours, for serial numbers


@dataclass(frozen=True)
class ModelComponent:
    """A model in the bundle. `files` are (path, sha256)."""

    name: str
    version: str
    licence: str
    source: str
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class NativeComponent:
    """Native code that came inside a wheel, such as llama.cpp."""

    name: str
    version: str
    licence: str
    inside: str
    """The wheel it lies in."""


def sbom(
    name: str,
    version: str,
    created: str,
    wheels: Sequence[tuple[Wheel, str]],
    native: Sequence[NativeComponent],
    models: Sequence[ModelComponent],
) -> bytes:
    """The document. `wheels` come with their sha256; `created` is the bundle's own time."""
    components = [_of_wheel(wheel, digest) for wheel, digest in wheels]
    components += [_of_native(part) for part in native]
    components += [_of_model(model) for model in models]
    components.sort(key=lambda component: str(component["bom-ref"]))
    root = f"kit-bundle:{name}@{version}"
    by_name = {wheel.name: _purl(wheel) for wheel, _ in wheels}
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": created,
            "component": {"type": "application", "name": name, "version": version, "bom-ref": root},
        },
        "components": components,
        "dependencies": [
            {"ref": root, "dependsOn": sorted(str(c["bom-ref"]) for c in components)},
            *sorted((_needs(wheel, by_name) for wheel, _ in wheels), key=lambda d: str(d["ref"])),
        ],
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}"
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _purl(wheel: Wheel) -> str:
    return f"pkg:pypi/{wheel.name}@{wheel.version}"


def _of_wheel(wheel: Wheel, digest: str) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "name": wheel.name,
        "version": wheel.version,
        "purl": _purl(wheel),
        "bom-ref": _purl(wheel),
        "licenses": _licences(wheel.licence),
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
    if wheel.homepage.startswith(("http://", "https://")):
        component["externalReferences"] = [{"type": "website", "url": wheel.homepage}]
    return component


def _of_native(part: NativeComponent) -> dict[str, Any]:
    return {
        "type": "library",
        "name": part.name,
        "version": part.version,
        "bom-ref": f"native:{part.name}@{part.version}",
        "licenses": _licences(part.licence),
        "description": f"native code inside {part.inside}",
    }


def _of_model(model: ModelComponent) -> dict[str, Any]:
    ref = f"model:{model.name}@{model.version}"
    return {
        "type": "machine-learning-model",
        "name": model.name,
        "version": model.version,
        "bom-ref": ref,
        "licenses": _licences(model.licence),
        "description": f"from {model.source}",
        "components": [
            {
                "type": "file",
                "name": path,
                "bom-ref": f"{ref}#{path}",
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }
            for path, digest in sorted(model.files)
        ],
    }


def _licences(text: str) -> list[dict[str, Any]]:
    """An SPDX expression where it can be one, else the words as a name."""
    plain = text.replace("(", " ").replace(")", " ").split()
    if text and all(word in ("AND", "OR", "WITH") or _is_id(word) for word in plain):
        return [{"expression": text}]
    return [{"license": {"name": text or "not said"}}]


def _is_id(word: str) -> bool:
    """Whether a word looks like an SPDX identifier: Apache-2.0, MIT, BSD-3-Clause."""
    return word in ("MIT", "ISC", "Zlib", "0BSD") or (
        "-" in word and word.replace("-", "").replace(".", "").replace("+", "").isalnum()
    )


def _needs(wheel: Wheel, by_name: dict[str, str]) -> dict[str, Any]:
    """What of the bundle the wheel asks for, extras left out."""
    names = {
        normalized(found[0])
        for requirement in wheel.requires
        if "extra ==" not in requirement
        and (found := re.match(r"[A-Za-z0-9._-]+", requirement.strip()))
    }
    return {
        "ref": _purl(wheel),
        "dependsOn": sorted(by_name[name] for name in names if name in by_name),
    }
