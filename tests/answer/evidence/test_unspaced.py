"""Questions in scripts without spaces are answered where the documents answer, else refused."""

# ruff: noqa: E501 - a Chinese character counts as two

from __future__ import annotations

import pytest

from kit.answer.evidence.evidence import find_evidence
from kit.answer.evidence.unspaced import covered, read_unspaced
from kit.testing import FakeEmbedder

RULES = (
    ("committee.md", "研究委员会每月第一个星期二开会。会议纪要由秘书在五个工作日内发出。"),
    ("samples.eml", "每个水样瓶必须装满，不留气泡，并用封口膜密封。样品应在四摄氏度下避光保存，不可冷冻。"
                    "请在每个瓶子上写明钻孔编号和采样日期。实验室将在收到样品后五周内完成同位素测量。"),
    ("travel.md", "出差申请由系主任批准。国内出差的每日津贴为585兰特。出差结束后三十天内提交报销单。"),
    ("library.md", "图书馆位于金合欢楼二层。每位学生最多可以借阅十二本书，借期为三周。"),
    ("data.md", "人类参与者的研究数据必须加密保存在大学服务器上，保存期限为十年。知情同意书由首席研究员保管。未经批准，不得将数据转移到国外。"),
    ("laboratory.md", "实验室周一至周五八点到十八点开放。进入实验室必须佩戴护目镜和手套。危险废物每周四由安全办公室收集。"),
    ("japanese.md", "倫理委員会は毎月第二火曜日に開かれます。申請書は研究支援課に提出してください。"),
)  # fmt: skip
ANSWERED = (
    ("研究委员会什么时候开会？", "第一个星期二"),
    ("请问研究委员会每个月哪天开会", "第一个星期二"),
    ("样品应该在什么温度下保存？", "四摄氏度"),
    ("样品可以冷冻吗？", "不可冷冻"),
    ("同位素测量多久完成？", "五周"),
    ("会议纪要由谁发出？", "秘书"),
    ("出差申请由谁批准？", "系主任"),
    ("国内出差的每日津贴是多少？", "585"),
    ("报销单什么时候提交？", "三十天"),
    ("图书馆在哪里？", "金合欢楼"),
    ("学生最多可以借阅几本书？", "十二本"),
    ("瓶子上要写明什么？", "钻孔编号"),
    ("研究数据要保存多久？", "十年"),
    ("知情同意书由谁保管？", "首席研究员"),
    ("数据可以转移到国外吗？", "不得"),
    ("实验室几点开放？", "十八点"),
    ("进入实验室必须佩戴什么？", "护目镜"),
    ("危险废物什么时候收集？", "每周四"),
    ("倫理委員会はいつ開かれますか？", "第二火曜日"),
)
REFUSED = (
    "研究委员会什么时候成立？",
    "研究委员会有多少名委员？",
    "研究委员会在哪里开会？",
    "研究委员会的主席是谁？",
    "伦理委员会什么时候开会？",
    "财务委员会什么时候开会？",
    "样品应该保存多久？",
    "样品应该在什么容器中保存？",
    "样品应该在什么湿度下保存？",
    "同位素测量的费用是多少？",
    "出差申请什么时候提交？",
    "国外出差的每日津贴是多少？",
    "图书馆几点关门？",
    "图书馆有多少本书？",
    "教师最多可以借阅几本书？",
    "2027年国内出差的每日津贴是多少？",
    "动物研究数据保存多久？",
    "知情同意书保存多久？",
    "数据由谁加密？",
    "实验室周末几点开放？",
    "实验室主任是谁？",
    "危险废物收集的费用是多少？",
    "手套是什么颜色的？",
    "南非的首都在哪里？",
    "倫理委員会はどこで開かれますか？",
    "什么？",
)


@pytest.fixture
def hits(make_hit):
    return [
        make_hit(text, document=name, document_id=name, chunk_id=n, rank=n)
        for n, (name, text) in enumerate(RULES, start=1)
    ]


class Measured(FakeEmbedder):
    """A model whose cosines were measured, and mean nothing in this script."""

    model = "all-minilm-l6-v2"


@pytest.mark.parametrize("embedder", [None, Measured()], ids=["by words", "with a model"])
@pytest.mark.parametrize(("question", "part"), ANSWERED)
def test_a_question_is_answered_from_the_sentence_that_answers(
    hits, question, part, embedder
) -> None:
    """What the model makes of a script that it does not know changes nothing."""
    evidence = find_evidence(question, hits, embedder)
    assert [part in unit.text for unit in evidence.best] == [True], evidence.closest


@pytest.mark.parametrize("question", REFUSED)
def test_a_near_miss_is_refused(hits, question) -> None:
    """The right topic without the asked fact, or another one's fact, is no answer."""
    evidence = find_evidence(question, hits, None)
    assert not evidence.is_answered, evidence.best


def test_question_words_carry_no_weight() -> None:
    """What is left of a question is what it is about."""
    asked = read_unspaced("研究委员会什么时候开会吗？")
    assert asked is not None
    assert asked.about == ("研究委员会", "开会")
    assert read_unspaced("When does the committee meet?") is None


def test_a_name_that_only_the_heading_has_counts_by_half() -> None:
    """A sentence under the committee's heading answers, if it says the rest itself."""
    asked = read_unspaced("研究委员会什么时候开会？")
    assert asked is not None
    assert covered(asked, "每月第一个星期二开会。", "研究委员会") == pytest.approx(0.6)
    assert covered(asked, "每月第一个星期二开会。", "") == 0.0


def test_a_line_without_stop_is_quoted_if_it_is_no_heading(make_hit) -> None:
    """A whole statement in a script without spaces is one word, and still a statement."""
    hit = make_hit("研究委员会\n研究委员会每月第一个星期二开会")
    evidence = find_evidence("研究委员会什么时候开会？", [hit], None)
    assert [unit.text for unit in evidence.best] == ["研究委员会每月第一个星期二开会"]
