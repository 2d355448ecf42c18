"""Text of before Unicode: read rightly where that is certain, as before where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.library.parsers import parse
from kit.library.parsers.decode import decode_text
from kit.library.parsers.encodings import guess_encoding

JAPANESE = [
    "名前,年齢,住所\n佐藤太郎,30,東京\n三木英子,25,大阪\n髙橋淳,35,名古屋\n",
    "会議は九時に始まります。",
    "こんにちは",
    "旅費の上限は一泊一万円です。領収書を提出してください。",
    "第一条 この規則は、大学の旅費について定める。",
]
CHINESE = [
    "会议九点开始。",
    "差旅费标准",
    "姓名,年龄,城市\n王伟,30,北京\n李娜,25,上海\n",
    "每晚住宿费上限为五百元,请提交发票。",
    "编号,名称\n一,北京大学\n二,清华大学\n",
]
TRADITIONAL = [
    "會議九點開始。",
    "姓名,年齡,城市\n王小明,30,臺北\n",
    "每晚住宿費上限為五千元,請提交收據。",
    "差旅費標準",
]
KOREAN = [
    "회의는 아홉 시에 시작합니다.",
    "이름,나이,도시\n김철수,30,서울\n",
    "안녕하세요",
    "출장비 한도는 하루 십만 원입니다.",
    "대한민국 서울특별시",
]
CYRILLIC = [
    "Заседание начнётся в девять часов.",
    "Имя;Возраст;Город\nИван;30;Москва\n",
    "Привет",
    "ДОГОВОР АРЕНДЫ № 5",
    "«Да», – сказал он.",
    "Київ є столицею України.",
    "Всички хора се раждат свободни",
]
WESTERN = [
    "Die Sitzung beginnt um neun Uhr im großen Saal.",
    "Müller;Größe;Straße\nJürgen;12;Köln\n",
    "Übergrößenträger",
    "ÄRZTEKAMMER FÜR ÖSTERREICH: ÄNDERUNGEN",
    "ÄÖÜäöüß",
    "ß",
    "Les élèves doivent être à l'école à huit heures.",
    "ÉTÉ À NOËL – «déjà vu» …",
    "Œuvre complète, 50 €",
    "El niño comió una manzana en la montaña. ¿Cuándo?",
    "ação não é opção; coração",
    "Die môre is koud en die eerste sneeu lê.",
    "Sê vir hom ’n storie oor die wêreld",
    "hulle het ’n reël gehê",
    "Það er gott að vera á Íslandi",
    "“É” ‘à’ »ö« £500 ½ ¼ ²³¹ µm ±5° § ©®",
    "C–D–E–F–G–A–B).",
    "ÄÄÄÄÄÄÄÄÄÄ",
    "ÀÈÌÒÙ",
    "ÀÉÈÙÂÊÎÔÛ ÄËÏÖÜ Ç",
    "à á â ã ä å æ ç è é ê ë ì í î ï",
]


@pytest.mark.parametrize(
    ("encoding", "texts", "name"),
    [
        ("cp932", JAPANESE, "Shift-JIS"),
        ("euc_jp", JAPANESE[1:], "EUC-JP"),
        ("gb18030", CHINESE, "GB18030"),
        ("gbk", CHINESE, "GB18030"),
        ("big5", TRADITIONAL, "Big5"),
        ("euc_kr", KOREAN, "EUC-KR"),
        ("cp1251", CYRILLIC, "Windows-1251"),
        ("koi8_r", CYRILLIC[:3], "KOI8-R"),
    ],
)
def test_texts_of_other_scripts_are_read_and_the_guess_is_said(
    encoding: str, texts: list[str], name: str
) -> None:
    """A short sentence, a table of names or a greeting is enough; the remark names the encoding."""
    for text in texts:
        read, notes = decode_text(text.encode(encoding))
        assert read == text
        assert notes == (
            f"not UTF-8: read as {name}, which its letters look like; "
            "if it reads wrongly, save it as UTF-8 and add that",
        )


@pytest.mark.parametrize("text", WESTERN)
def test_western_texts_are_read_as_before(text: str) -> None:
    """Accents, quotes, capitals and tables of letters stay Windows-1252, alone and repeated."""
    for many in (text, text + "\n" + text, " ".join([text] * 50)):
        assert decode_text(many.encode("cp1252")) == (
            many,
            ("not UTF-8: read as Windows-1252; accents may be wrong",),
        )


ACCENTED = st.builds(
    lambda word, accent: word[:1] + accent + word[1:],
    st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=6),
    st.sampled_from("äöüßéèêàçñóõëï"),
)


@given(st.lists(ACCENTED, min_size=1, max_size=40))
def test_words_with_one_accent_are_never_another_script(words: list[str]) -> None:
    """Whatever the words are, accents among ASCII letters are Windows-1252."""
    assert guess_encoding(" ".join(words).encode("cp1252")) is None


@given(st.binary(max_size=400))
def test_any_bytes_are_decoded(data: bytes) -> None:
    """Decoding never fails, whatever is guessed, also for a head that ends inside a character."""
    assert isinstance(decode_text(data)[0], str)
    assert isinstance(decode_text(data, is_whole=False)[0], str)


def test_a_head_that_ends_inside_a_character_is_read_like_the_whole() -> None:
    """The sample may be cut anywhere."""
    data = "会議は九時に始まります。".encode("cp932")
    for end in range(10, len(data)):
        found = guess_encoding(data[:end])
        assert found is not None
        assert found.name == "Shift-JIS"


def test_a_text_that_begins_in_ascii_is_judged_by_what_is_none() -> None:
    """However long the part without other letters is."""
    text = "line of code\n" * 20_000 + JAPANESE[3]
    assert decode_text(text.encode("cp932"))[0] == text


def test_a_table_in_shift_jis_is_found_by_its_columns(tmp_path: Path) -> None:
    """CSV and text of a sort that offices still send are documents like others."""
    path = tmp_path / "file"
    path.write_bytes(JAPANESE[0].encode("cp932"))
    parsed = parse(path, "names.csv")
    assert "名前: 佐藤太郎; 年齢: 30; 住所: 東京" in parsed.text
    assert "Shift-JIS" in parsed.notes[0]
