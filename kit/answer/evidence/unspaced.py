"""Questions in scripts without spaces: what they ask about, and how much of it a sentence says.

Knows no word boundaries and no model; character pairs stand for words, and lists of Chinese and
Japanese function words for grammar. Invariant: a sentence without the kind of value that such a
question asks for (a time, a number, a temperature, a place …) does not answer it.
"""

# ruff: noqa: SIM905 - word lists read better as text
from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from kit.answer.evidence.words import STOP_WORDS, UNSPACED

_RUN = re.compile(rf"[{UNSPACED}々]+|[^\W_{UNSPACED}]+(?:[-.][^\W_{UNSPACED}]+)*")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_NUMERAL = r"[\d〇零一二两三四五六七八九十百千万半]"

# Words that hold a character which alone would be grammar: kept whole.
_KEPT = (
    "目的|存在|现在|正在|在线|在职|中心|中国|中文|中午|其中|上海|上午|下午|上级|下级|上限|下限|下载|上传|里程|内容|国内|室内|对象"
    "|应对|有效|所有|有机|拥有|持有|有限|与会|参与|和解|总和|被告|把握|到期|收到|迟到|报到|了解|给予|供给|重要|要求|主要|要点|摘要|纪要|简要|必要"
)
# Question words and grammar: they say what kind of thing is asked for, or nothing.
_ASKING = (
    r"什么时候|什么时间|什么地方|为什么|怎么样|多长时间|多少钱|什么|怎么|怎样|如何|多少|多久|多长|多大|多远|多高|何时|何地"
    r"|何处|为何|哪一?[个些种类项位天年月周日里儿所]|哪|谁|几[个位名次天周月年点号份人种项]|几|是否|是不是|能不能|能否|可不可以"
    r"|有没有|请问|告诉我|应该|应当|应|必须|需要|须|可以|可|时候|根据|关于|一下|大约|大概|目前|我们|你们|他们|我|你"
    r"|[的了吗呢吧啊要在是有和与或及于从由对把被为以下中上里内到给这那个名]"
)
_TOKEN = re.compile(f"({_KEPT})|(?:{_ASKING})")
_HIRAGANA = re.compile(r"[\u3040-\u309f]+")  # Japanese grammar, where other signs carry the sense
_THAI_ASKING = re.compile("อะไร|เมื่อไหร่|เมื่อไร|เมื่อใด|ที่ไหน|ใคร|เท่าไหร่|เท่าไร|กี่|อย่างไร|หรือไม่|ไหม|ทำไม")

_DATED = re.compile(
    rf"第{_NUMERAL}+个?|(?:星期|周|礼拜){_NUMERAL}|{_NUMERAL}+[月日号](?!个)|\d{{4}}年|一个"
)
_DATE = (
    rf"{_NUMERAL}+\s*个?(?:年|月|日|号|天|周|星期|点|时|小时|分钟|時|曜)|(?:星期|周|礼拜){_NUMERAL}|[每毎][年月周日天週个]|曜日"
    r"|上午|下午|早上|晚上|中午|\d{1,2}[:：]\d\d|\b(?:19|20)\d\d\b"
)
# (what the question has, what a sentence must have then); the first that fits counts.
_KINDS = tuple(
    (re.compile(asked), re.compile(given))
    for asked, given in (
        (
            r"多久|多长时间|几[天周年]|几个[月星]|几小时",
            rf"{_NUMERAL}+\s*个?(?:年|月|日|天|周|星期|小时|分钟|時間|週|学期)|永久|长期",
        ),
        (r"什么时[候间]|何时|几[点号月]|哪一?[天年月周日]|日期|截止|いつ|何[時日月年]|何曜", _DATE),
        (r"เมื่อไหร่|เมื่อไร|เมื่อใด", r"\d|วัน|เดือน|ปี"),
        (r"温度|多少度", rf"(?:{_NUMERAL}+|摄氏)\s*度|[℃°]"),
        (
            r"多少钱|费用|价格|金额|いくら",
            rf"{_NUMERAL}+\s*(?:元|块|兰特|美元|欧元|人民币|万|円)|免费|[R¥$€]\s?\d",
        ),
        (r"多少|几|多[长大远高]|いくつ|何[人個名]|百分", _NUMERAL),
        (r"เท่าไหร่|เท่าไร|กี่", r"\d"),
        (r"为什么|为何|なぜ", r"因|由于|为了|以便|以免|ため|から"),
        (r"哪个?部门", r"[部处科局]|办公室|中心|学院"),
        (
            r"谁|哪一?位|誰",
            r"教授|博士|先生|女士|主任|院长|主席|经理|处长|部长|校长|所长|负责|委员|办公室|部门|人员|人$|由|氏|長|[A-Z][a-z]",
        ),
        (
            r"哪[里儿]|在哪|什么地方|何[处地]|地点|地址|どこ",
            r"室|楼|路|街|厅|馆|校区|中心|大厦|广场|网站|大学|学院|実験|駅|階|[A-Z][a-z]",
        ),
    )
)
_THING = re.compile(rf"(?:什么|哪一?[个种类项些])([{UNSPACED}]{{2}})")
_ANYTHING = frozenset(
    "方式 方法 条件 材料 文件 内容 情况 东西 要求 事情 原因 问题 时候 时间 地方 部门".split()
)


@dataclass(frozen=True)
class UnspacedQuestion:
    """`about` are the runs of telling characters, and words and numbers of other scripts."""

    about: tuple[str, ...]
    given: re.Pattern[str] | None
    """What an answering sentence must hold; None where the question names no kind of answer."""
    counts: bool
    """Whether a bare number is asked for, so that the numbers of dates are none."""


def read_unspaced(question: str) -> UnspacedQuestion | None:
    """The question, if any of it is in a script without spaces; of several lines all count."""
    text = unicodedata.normalize("NFKC", question).lower()
    if not _UNSPACED.search(text):
        return None
    given = next((given for asked, given in _KINDS if asked.search(text)), None)
    thing = _THING.search(text)
    if given is None and thing is not None and thing[1] not in _ANYTHING:
        # The head of a Chinese noun stands last, but a degree may be of anything.
        given = re.compile(re.escape(thing[1] if thing[1].endswith("度") else thing[1][-1]))
    named = "温度 金额 日期 地点 地址 价格 费用".split() + ([thing[1]] if thing else [])
    about = tuple(dict.fromkeys(run for run in _telling(text) if run not in named))
    return UnspacedQuestion(about, given, given is not None and given.pattern == _NUMERAL)


def _telling(text: str) -> list[str]:
    """The runs without grammar; single characters only where there is nothing longer."""
    plain = _THAI_ASKING.sub(" ", text)
    plain = _TOKEN.sub(lambda match: match[1] or " ", _named_apart(plain))
    if re.search(r"[\u30a0-\u30ff\u3400-\u9fff]", plain):
        plain = _HIRAGANA.sub(" ", plain)
    runs = [run for run in _RUN.findall(plain) if run not in STOP_WORDS]
    return [run for run in runs if len(run) > 1 or not _UNSPACED.match(run)] or runs


def _named_apart(text: str) -> str:
    """With a space behind the kind of thing asked for: '什么温度下保存' is not about '温度下'."""
    return _THING.sub(lambda match: f" {match[1]} ", text)


def covered(asked: UnspacedQuestion, text: str, context: str) -> float:
    """The share, 0 to 1, of what is asked about that `text` says, `context` helping by a half.

    0 where half or less of a run is there, or one of its characters is not, or `text` lacks the
    kind of value asked for: another committee is not this one, and a date is not a place.
    """
    if not asked.about or not _has_kind(asked, unicodedata.normalize("NFKC", text)):
        return 0.0
    text, context = (unicodedata.normalize("NFKC", t).lower() for t in (text, context))
    shares = [max(_share(run, text), _share(run, f"{text}\n{context}") / 2) for run in asked.about]
    whole = [_share(run, f"{text}\n{context}") for run in asked.about]
    missing = set("".join(asked.about)) - set(f"{text}\n{context}")
    if min(whole) <= 0.5 or any(_UNSPACED.match(character) for character in missing):
        return 0.0
    sizes = [max(1, len(run) - 1) for run in asked.about]
    return sum(s * n for s, n in zip(shares, sizes, strict=True)) / sum(sizes)


def _has_kind(asked: UnspacedQuestion, text: str) -> bool:
    if asked.given is None:
        return True
    plain = _DATED.sub(" ", text) if asked.counts else text
    return asked.given.search(plain) is not None


def _share(run: str, text: str) -> float:
    """The share of a run's character pairs in `text`; a word of another script is there or not."""
    if not _UNSPACED.match(run):
        return float(re.search(rf"(?<![a-z\d]){re.escape(run)}(?![a-z\d])", text) is not None)
    pairs = bigrams(run)
    return sum(pair in text for pair in pairs) / len(pairs)


def bigrams(run: str) -> Sequence[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]
