"""A passport with every part, as a check of a quantized model would leave it."""

from __future__ import annotations

from kit.supply.catalog import ModelFile
from kit.supply.passport import (
    SCHEMA,
    ContextMemory,
    Licence,
    Loss,
    Machine,
    Memory,
    Passport,
    Speed,
    Template,
    TemplateNote,
    Tools,
)
from kit.supply.smoke.chat import questions_for
from kit.supply.smoke.report import SmokeReport
from kit.supply.store import InstalledModel
from tests.supply.smoke.good_replies import GOOD

ARRIVED = ModelFile("Office-8B-F16.gguf", "ab" * 32, 16_000_000_000)
MADE = ModelFile("Office-8B-Q4_0.gguf", "cd" * 32, 4_500_000_000)
MODEL = InstalledModel(
    name="office-8b",
    kind="chat",
    source="hf://office/Office-8B",
    licence="MIT",
    files=(ARRIVED, MADE),
    active=MADE.path,
    quant_type="Q4_0",
    installed_at="2026-11-26T10:00:00Z",
)
PASSPORT = Passport(
    schema=SCHEMA,
    name="office-8b",
    title="Office 8B",
    kind="chat",
    source="hf://office/Office-8B",
    revision="0123abc",
    licence=Licence("MIT", "use, change and pass on", "", "Copyright (c) 2026 Office\n", "LICENSE"),
    inputs=(ARRIVED,),
    outputs=(MADE,),
    active=MADE.path,
    quant_type="Q4_0",
    imatrix_sha256="ef" * 32,
    tools=Tools("0.1.0", "0.3.36", "0c1e570", "convert_hf_to_gguf.py of llama.cpp 0c1e570"),
    template=Template(
        "12" * 32, "12" * 32, (TemplateNote("warning", 3, "a loop within a loop"),), False
    ),
    memory=Memory(
        4_500_000_000,
        (ContextMemory(2048, 268_435_456), ContextMemory(32768, 4_294_967_296)),
        5_100_000_000,
        4096,
    ),
    loss=Loss(7.4321, 7.3, 0.0123456, 0.25, 0.914, 4096),
    speed=Speed(41.5, 7.2, 8, "icelake", 0.3),
    smoke=SmokeReport(tuple(q.answered(GOOD[q.name]) for q in questions_for(("en",)))),
    machine=Machine("Some CPU", 8, "Linux x86_64"),
    installed_at="2026-11-26T10:00:00Z",
    made_at="2026-11-26T12:00:00Z",
)
