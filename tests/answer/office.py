"""A labelled set: rules of an invented harbour office, questions they answer or do not answer.

Data only. The unanswerable questions are near misses on purpose: the right topic without the asked
fact, another entity, general knowledge, or words that the rules use for something else.
"""

# ruff: noqa: E501 - the passages are text, one line per sentence or two
from __future__ import annotations

from kit.library.documents import Hit

# (document, place, text); one passage each.
PASSAGES = (
    (
        "leave-rules.docx",
        "Leave rules > Annual leave",
        "1. Annual leave\n1.1 A full-time employee earns 24 working days of annual leave per calendar year.\n"
        "1.2 At most 6 days may be carried over; they lapse on 31 March of the following year.\n"
        "1.3 Leave of more than ten days in a row needs the approval of the harbour master.",
    ),
    (
        "leave-rules.docx",
        "Leave rules > Sick leave",
        "2. Sick leave\n2.1 An absence of more than two days requires a medical certificate. It must reach the"
        " personnel desk within five days.\n2.2 Sick leave is not deducted from annual leave.",
    ),
    (
        "leave-rules.docx",
        "Leave rules > Parental leave",
        "3. Parental leave\n3.1 Either parent may take 16 weeks of paid parental leave within the first year."
        "\n3.2 Notice has to be given to the personnel desk at least eight weeks before the leave begins.",
    ),
    (
        "fees-2026.xlsx",
        "sheet Fees, rows 2-7",
        "Service: Mooring, small boat; Fee: R340 per week; Payable: in advance\n"
        "Service: Mooring, trawler; Fee: R1 950 per week; Payable: in advance\n"
        "Service: Slipway; Fee: R85 per launch; Payable: on the day\n"
        "Service: Crane; Fee: R1 200 per hour; Payable: after use\n"
        "Service: Storage, dry; Fee: R60 per square metre and month; Payable: quarterly\n"
        "Service: Fresh water; Fee: R32 per kilolitre; Payable: monthly",
    ),
    (
        "licensing-guide.pdf",
        "page 2",
        "Applications for a berth licence are made on form HB-12 and handed in at the front desk. The"
        " licensing panel meets on the second Thursday of every month at 09:30 in the Anchor Room. Papers for"
        " the panel must be received ten working days before its meeting. The panel consists of five members"
        " and is chaired by the deputy harbour master, Ms Lindiwe Okoro.",
    ),
    (
        "licensing-guide.pdf",
        "page 3",
        "A berth licence is valid for 18 months and may be renewed twice. Licences cannot be transferred to"
        " another person. An applicant whose licence was refused may appeal to the Port Tribunal within 21 days"
        " of the decision. The appeal costs R500, which is paid back if the appeal succeeds.",
    ),
    (
        "safety-rules.md",
        "Safety rules > Fuel",
        "Refuelling is only allowed at the eastern jetty between 06:00 and 20:00. Smoking is prohibited within"
        " 15 metres of the fuel pumps. Spills of more than one litre must be reported to the duty officer at"
        " once.",
    ),
    (
        "safety-rules.md",
        "Safety rules > Life jackets",
        "Everyone on the pontoons must wear a life jacket. Children under 12 may enter the pontoons only with"
        " an adult. Life jackets are inspected every six months by the safety officer, Tomas Brandt.",
    ),
    (
        "minutes-2026-02.docx",
        "Minutes > Dredging",
        "The committee discussed the dredging of the north basin. The contract was awarded to Meridian Marine"
        " for R4.2 million. Work starts on 4 May 2026 and is expected to take eleven weeks. Mr Adeyemi voted"
        " against the award.",
    ),
    (
        "minutes-2026-02.docx",
        "Minutes > Budget",
        "The treasurer reported that income from mooring fees rose by 8% to R11.6 million in 2025. Spending on"
        " repairs was R3.1 million. The reserve fund stands at R900 000. The budget for 2027 was not discussed.",
    ),
    (
        "it-handbook.html",
        "IT handbook > Passwords",
        "How long must a password be?\nA password has at least 14 characters and is changed only when it may"
        " have become known.\nWho resets a forgotten password?\nThe help desk resets it after a call to"
        " extension 4410; it never asks for the old one.",
    ),
    (
        "it-handbook.html",
        "IT handbook > Backups",
        "Backups of the shared drive run every night at 01:15 and are kept for 90 days. Restoring a file takes"
        " about two working days. Files on the desktop of a computer are not backed up.",
    ),
)

# (question, what the quoted sentence must contain)
ANSWERABLE = (
    ("How many days of annual leave do full-time employees get?", "24 working days"),
    ("When do carried-over leave days lapse?", "31 March"),
    ("How many leave days can be carried over?", "6 days"),
    ("Who approves leave longer than ten days?", "harbour master"),
    ("When is a medical certificate required?", "more than two days"),
    ("How soon must the medical certificate reach the personnel desk?", "five days"),
    ("Is sick leave deducted from annual leave?", "not deducted"),
    ("How long is paid parental leave?", "16 weeks"),
    ("How far ahead must I give notice of parental leave?", "eight weeks"),
    ("What does mooring a trawler cost?", "R1 950"),
    ("How much is the crane per hour?", "R1 200"),
    ("What is the fee for dry storage?", "R60"),
    ("How much do I pay for the slipway?", "R85"),
    ("What is the price of fresh water?", "R32"),
    ("Which form do I need for a berth licence?", "HB-12"),
    ("When does the licensing panel meet?", "second Thursday"),
    ("Where does the licensing panel meet?", "Anchor Room"),
    ("Who chairs the licensing panel?", "Okoro"),
    ("How many members does the panel have?", "five members"),
    ("When must papers for the panel be received?", "ten working days"),
    ("How long is a berth licence valid?", "18 months"),
    ("Can a berth licence be transferred to someone else?", "cannot be transferred"),
    ("How often can a licence be renewed?", "renewed twice"),
    ("Where can I appeal against a refused licence?", "Port Tribunal"),
    ("What does an appeal cost?", "R500"),
    ("Within how many days must an appeal be made?", "21 days"),
    ("Where is refuelling allowed?", "eastern jetty"),
    ("At what times can boats refuel?", "06:00"),
    ("How far from the fuel pumps is smoking forbidden?", "15 metres"),
    ("Who must be told about a fuel spill?", "duty officer"),
    ("Do I have to wear a life jacket on the pontoons?", "must wear"),
    ("Who inspects the life jackets?", "Brandt"),
    ("How often are life jackets inspected?", "six months"),
    ("Which company got the dredging contract?", "Meridian"),
    ("How much is the dredging contract worth?", "R4.2 million"),
    ("When does the dredging work start?", "4 May 2026"),
    ("Who voted against the dredging award?", "Adeyemi"),
    ("How much did mooring fees bring in in 2025?", "R11.6 million"),
    ("What is the size of the reserve fund?", "R900 000"),
    ("How long must a password be?", "14 characters"),
    ("Who resets a forgotten password?", "help desk"),
    ("At what time do the backups run?", "01:15"),
    ("For how long are backups kept?", "90 days"),
    ("Are files on my desktop backed up?", "not backed up"),
)

UNANSWERABLE = (
    "Who is the president of France?",
    "What is the capital of Norway?",
    "When was the harbour founded?",
    "How do I bake bread?",
    "What is the boiling point of water?",
    "Who wrote Moby-Dick?",
    "How tall is Mount Kilimanjaro?",
    "What is the exchange rate of the rand to the euro?",
    "What is the phone number of the front desk?",
    "What is the e-mail address of the licensing panel?",
    "Who chairs the finance committee?",
    "When does the ethics committee meet?",
    "How many members does the Port Tribunal have?",
    "Where does the Port Tribunal sit?",
    "How much is a fishing licence?",
    "How long is a fishing licence valid?",
    "What is the fine for smoking near the fuel pumps?",
    "What does a litre of diesel cost?",
    "How much is the mooring fee for a yacht club member?",
    "How much does the slipway cost per year?",
    "What is the salary of the harbour master?",
    "Who is the harbour master?",
    "How many days of study leave do employees get?",
    "How much unpaid leave may I take?",
    "Is overtime paid on public holidays?",
    "What is the dress code at the front desk?",
    "How many employees does the office have?",
    "Which doctor issues medical certificates?",
    "Who audits the budget?",
    "What was the budget for 2019?",
    "How much was spent on dredging in 2021?",
    "When will the south basin be dredged?",
    "Who is the treasurer?",
    "Which virus scanner is installed on the computers?",
    "How do I connect to the wireless network?",
    "Who resets the door code?",
    "How large is the mailbox quota?",
    "When is the canteen open?",
    "What does parking cost?",
    "Are dogs allowed on the pontoons?",
    "What colour are the life jackets?",
    "How deep is the north basin?",
    "Can I pay the mooring fee by credit card?",
    "What is the interest on late payments?",
)

# (sentence of a model, whether the passages support it)
STATEMENTS = (
    ("A full-time employee earns 24 working days of annual leave per year.", True),
    ("Full-time employees get 24 days of annual leave.", True),
    ("Up to 6 days may be carried over and they lapse on 31 March.", True),
    ("The licensing panel meets on the second Thursday of every month at 9:30.", True),
    ("The panel is chaired by Ms Lindiwe Okoro.", True),
    ("Mooring a trawler costs R1,950 per week.", True),
    ("The crane costs R1200 per hour and is payable after use.", True),
    ("A berth licence is valid for 18 months.", True),
    ("Licences cannot be transferred to another person.", True),
    ("An appeal must be made to the Port Tribunal within 21 days.", True),
    ("Smoking is prohibited within 15 metres of the fuel pumps.", True),
    ("Refuelling is allowed between 6:00 and 20:00 at the eastern jetty.", True),
    ("Life jackets are inspected every six months.", True),
    ("The contract went to Meridian Marine for R4,200,000.", True),
    ("Work starts on May 4, 2026.", True),
    ("Sick leave is not deducted from annual leave.", True),
    ("Backups are kept for 90 days.", True),
    ("A password must have at least 14 characters.", True),
    ("A full-time employee earns 30 working days of annual leave per year.", False),
    ("The licensing panel meets on the first Thursday of every month.", False),
    ("The licensing panel meets on the second Tuesday of every month.", False),
    ("The panel is chaired by Mr John Smith.", False),
    ("The panel is chaired by the President of France.", False),
    ("Mooring a trawler costs $1,950 per week.", False),
    ("A berth licence is valid for 24 months.", False),
    ("Licences can be transferred to another person.", False),
    ("Sick leave is deducted from annual leave.", False),
    ("Smoking is allowed within 15 metres of the fuel pumps.", False),
    ("Work starts on 4 June 2026.", False),
    ("The contract went to Oceanic Dredging for R4.2 million.", False),
    ("Files on the desktop of a computer are backed up.", False),
    ("The harbour was founded in 1887 by Dutch settlers.", False),
    ("Employees are entitled to a company car.", False),
    ("Macron is the head of the office.", False),
    ("A password has at most 14 characters.", False),
    ("The office is closed on public holidays.", False),
    ("Parental leave must be approved by the harbour master.", False),
    ("The crane costs R1 950 per hour.", False),
)


def passage_hits() -> list[Hit]:
    """All passages as hits, offsets as if each document were its passages one after the other."""
    hits: list[Hit] = []
    ends: dict[str, int] = {}
    for number, (document, place, text) in enumerate(PASSAGES, start=1):
        start = ends.get(document, 0)
        ends[document] = start + len(text) + 1
        page = int(place.removeprefix("page ")) if place.startswith("page ") else None
        span = (start, start + len(text))
        hits.append(
            Hit(
                number,
                1.0 / number,
                number,
                document,
                document,
                page,
                place,
                *span,
                text,
                len(text) // 4,
            )
        )
    return hits
